"""The in-memory world behaves like an API server where it matters, and its gangs like pods."""

from datetime import timedelta

import pytest
from tests.support.lives import Life, a_cluster, a_job, an_account

from farthing.contract.handshake import CheckpointRequest
from farthing.errors import Conflict, InsufficientBudget, Refused, Unreachable
from farthing.simulator.faults import Crash, OperatorDied
from farthing.simulator.trainer import Behaviour


@pytest.fixture
async def running() -> Life:
    """A life with its train attempt running."""
    life = Life(a_cluster())
    life.cluster.create_job(a_job())
    assert await life.run(120, until=lambda: life.state() == "Running")
    return life


async def test_a_status_over_a_version_that_is_not_the_newest_is_a_conflict(running: Life) -> None:
    stale = running.job()
    running.cluster.change_spec("default/tiny", checkpoint__keep=5)
    with pytest.raises(Conflict):
        await running.world.write_job_status(stale, {})


async def test_a_record_is_posted_once(running: Life) -> None:
    key = next(iter(running.cluster.records))
    with pytest.raises(Conflict):
        running.world.store.post_record(key, running.cluster.records[key].to_dict())


async def test_a_hold_that_does_not_fit_the_account_is_refused() -> None:
    life = Life(a_cluster())
    life.cluster.accounts["default/team-a"] = an_account(cost="0.001")
    budget = {"limits": {"cost": "0.06"}, "currency": "USD", "accountRef": {"name": "team-a"}}
    job = life.cluster.create_job(a_job(budget=budget))
    with pytest.raises(InsufficientBudget):
        life.world.store.hold(job, "tiny-1", job.spec.budget.limits.as_decimals())


async def test_the_server_can_say_no() -> None:
    life = Life(a_cluster())
    life.world.store.refuses["Secret"] = "forbidden"
    with pytest.raises(Refused, match="forbidden"):
        life.world.store.post_child({"kind": "Secret", "metadata": {"name": "x", "namespace": "default", "labels": {}}})


@pytest.mark.parametrize(("when", "written"), [("before", False), ("after", True)])
async def test_an_operator_dies_before_or_after_its_write(when: str, written: bool) -> None:
    life = Life(a_cluster())
    life.cluster.create_job(a_job())
    life.world.writes.crash = Crash(2, when)  # type: ignore[arg-type]
    with pytest.raises(OperatorDied):
        await life.cycle()
    assert bool(life.cluster.records) is written


async def test_held_pods_outlive_their_job_until_they_are_let_go(running: Life) -> None:
    (key,) = running.cluster.gangs
    running.cluster.delete_gang(key)
    running.cluster.advance(60)
    gang = running.cluster.gangs[key]
    assert gang.job is None
    assert all(pod.terminal and pod.finished_at is not None for pod in gang.pods)
    gang.let_go()
    running.cluster.collect(key)
    assert key not in running.cluster.gangs


async def test_a_deleted_gang_leaves_within_its_grace_even_when_it_ignores_everything(running: Life) -> None:
    ((key, gang),) = running.cluster.gangs.items()
    assert gang.trainer is not None
    gang.trainer.behaviour = Behaviour(obeys=False)
    running.cluster.delete_gang(key)
    started = running.cluster.clock.now()
    running.cluster.advance(120)
    pod = running.cluster.gangs[key].pods[0]
    grace = timedelta(seconds=gang.pod_spec["terminationGracePeriodSeconds"] + 1)
    assert pod.exit_code == 137
    assert pod.finished_at is not None
    assert pod.finished_at - started <= grace


async def test_the_jobs_deadline_ends_a_gang_that_never_starts(running: Life) -> None:
    (gang,) = running.cluster.gangs.values()
    gang.lower_deadline(1)
    running.cluster.advance(60)
    assert gang.job is not None
    assert (gang.job.failed, gang.job.failed_reason) == (True, "DeadlineExceeded")


async def test_a_gang_is_placed_whole_or_not_at_all() -> None:
    life = Life(a_cluster(slots=2, nodes=2))
    assert life.cluster.place("slots", 2, 2) == ["node-0", "node-1"]
    assert life.cluster.place("slots", 3, 2) is None


async def test_a_node_out_of_sight_hides_the_end_and_tells_its_true_time_later(running: Life) -> None:
    ((key, gang),) = running.cluster.gangs.items()
    running.cluster.set_reachable("node-0", reachable=False)
    attempt = (await running.world.observe()).jobs[0].attempts[-1]
    request = CheckpointRequest(id="a", reason="Suspended", then="Stop", deadline_seconds=60)
    with pytest.raises(Unreachable):
        await running.world.request_checkpoint(attempt, request)
    running.cluster.advance(600)
    assert all(not pod.terminal for pod in gang.pods)
    running.cluster.set_reachable("node-0", reachable=True)
    running.cluster.advance(2)
    (pod,) = running.cluster.gangs[key].pods
    assert pod.finished_at is not None
    assert running.cluster.clock.now() - pod.finished_at > timedelta(seconds=300)


async def test_a_request_is_answered_once_and_the_same_each_time(running: Life) -> None:
    attempt = (await running.world.observe()).jobs[0].attempts[-1]
    request = CheckpointRequest(id="a", reason="Suspended", then="Stop", deadline_seconds=60)
    running.cluster.advance(10)
    assert (await running.world.request_checkpoint(attempt, request)).state == "Accepted"
    running.cluster.advance(3)
    first = await running.world.request_checkpoint(attempt, request)
    assert first.state == "Acknowledged"
    assert await running.world.request_checkpoint(attempt, request) == first
    running.cluster.advance(40)
    assert not any(gang.alive for gang in running.cluster.gangs.values()), "it leaves by itself"
