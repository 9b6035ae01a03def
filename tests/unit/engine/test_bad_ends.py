"""What an attempt meets at run time and cannot mend itself: the condition that says so, and the way on."""

from dataclasses import replace

from tests.support.lives import Life, a_cluster, a_job, a_pool, an_account

from farthing.api.conditions import Condition, ConditionType, Reason, find, is_true
from farthing.domain.snapshot import Snapshot
from farthing.simulator.trainer import Behaviour

REFUSAL = "pods is forbidden: exceeded quota: tight"


def stalled(life: Life) -> Condition | None:
    found = find(life.job().status.conditions, ConditionType.STALLED)
    return found if found is not None and found.status == "True" else None


def without_pods(snapshot: Snapshot) -> Snapshot:
    """The same picture where the Job controller could make no pod."""
    jobs = (
        replace(view, attempts=tuple(replace(each, pods=(), progress=None, pods_refused=REFUSAL) for each in view.attempts))
        for view in snapshot.jobs
    )
    return replace(snapshot, jobs=tuple(jobs))


async def test_pods_that_the_api_server_refuses_stall_the_job_in_its_words_until_they_are_made() -> None:
    life = Life(a_cluster())
    life.cluster.create_job(a_job())
    await life.run(5)
    look = life.world.observe

    async def refused() -> Snapshot:
        return without_pods(await look())

    life.world.observe = refused  # type: ignore[method-assign]
    await life.cycle()
    told = stalled(life)
    assert told is not None
    assert told.reason == Reason.REFUSED
    assert REFUSAL in told.message
    assert life.state() == "Stalled"
    assert len(life.records()) == 1, "the attempt stays open: the Job controller tries again by itself"
    writes = life.world.writes.count
    await life.cycle()
    assert life.world.writes.count == writes, "and nothing is written meanwhile"
    life.world.observe = look  # type: ignore[method-assign]
    await life.cycle()
    assert stalled(life) is None
    assert await life.run(600, until=lambda: life.state() == "Complete")


async def test_out_of_memory_with_nothing_left_to_step_down_to_stalls_until_the_pool_has_more() -> None:
    life = Life(a_cluster())
    life.cluster.create_job(a_job(budget={"limits": {"cost": "5"}, "currency": "USD"}))
    life.cluster.behaviours["default/tiny"] = Behaviour(memory_needed=2**40)
    assert await life.run(3600, until=lambda: stalled(life) is not None)
    told = stalled(life)
    assert told is not None
    assert told.reason == Reason.NO_PLAN
    assert "was killed for memory, and nothing leaner or larger fits" in told.message
    assert "a smaller model or a pool with more memory" in told.message
    assert set(life.outcomes()) <= {"Prepared", "OutOfMemory"}
    assert life.job().spec.backoff_limit == 6, "steps down for memory are not counted"
    life.cluster.behaviours["default/tiny"] = Behaviour()
    life.cluster.pools["slots"] = a_pool(acceleratorsPerNode=2, maxNodes=1, acceleratorMemory="64Gi")
    assert await life.run(600, until=lambda: life.state() in ("Running", "Complete"))
    assert not is_true(life.job().status.conditions, ConditionType.STALLED)


async def test_an_account_is_judged_while_its_jobs_wait_for_it() -> None:
    life = Life(a_cluster())
    life.cluster.accounts["default/team-a"] = an_account(cost="0")
    account = {"accountRef": {"name": "team-a"}, "limits": {"cost": "0.06"}, "currency": "USD"}
    life.cluster.create_job(a_job(budget=account))
    await life.run(20)
    ready = find(life.cluster.accounts["default/team-a"].status.conditions, ConditionType.READY)
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", Reason.ACCOUNT_EXHAUSTED)


async def test_an_account_of_another_currency_than_the_pool_s_price_pays_nothing() -> None:
    life = Life(a_cluster())
    account = an_account()
    spec = account.spec.model_copy(update={"currency": "EUR"})
    life.cluster.accounts["default/team-a"] = account.model_copy(update={"spec": spec})
    life.cluster.create_job(a_job(budget={"accountRef": {"name": "team-a"}, "limits": {"tokens": "1e6"}}))
    await life.run(20)
    told = stalled(life)
    assert told is not None
    assert told.reason == Reason.CURRENCY_MISMATCH
    assert life.records() == []
