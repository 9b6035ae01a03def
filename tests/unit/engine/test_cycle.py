"""Whole lives of jobs: cycles in the in-memory world, on a clock that only moves when told to."""

from decimal import Decimal

import pytest
from tests.support.lives import Life, a_cluster, a_job, a_pool, an_account

from farthing.api.conditions import ConditionType, Reason, find, is_true
from farthing.domain.outcome import Outcome
from farthing.simulator.trainer import Behaviour

RUNGS = pytest.mark.parametrize("native_gangs", [True, False], ids=["native gangs", "suspended Job"])


@pytest.fixture
def life() -> Life:
    return Life(a_cluster())


def finished(life: Life, *names: str) -> bool:
    return all(life.state(name) in ("Complete", "Failed") for name in names)


@RUNGS
async def test_a_job_is_prepared_trained_and_landed_inside_its_budget(native_gangs: bool) -> None:
    life = Life(a_cluster(), native_gangs=native_gangs)
    life.cluster.create_job(a_job())
    assert await life.run(600, until=lambda: finished(life, "tiny"))
    job = life.job()
    assert life.outcomes() == [Outcome.PREPARED, Outcome.LANDED]
    assert is_true(job.status.conditions, ConditionType.COMPLETE)
    assert job.status.spent is not None
    assert Decimal(job.status.spent.cost or "0") <= Decimal("0.06")
    assert job.status.prepared is not None
    assert job.status.output_uri
    assert not life.cluster.gangs
    assert not life.cluster.children


async def test_the_prepare_attempt_holds_one_accelerator_and_is_on_the_bill(life: Life) -> None:
    life.cluster.create_job(a_job())
    await life.run(120)
    prepare, train = life.records()
    assert (prepare.spec.stage, prepare.spec.pods * prepare.spec.accelerators_per_pod) == ("Prepare", 1)
    assert (train.spec.stage, train.spec.pods * train.spec.accelerators_per_pod) == ("Train", 2)
    assert prepare.status.charged is not None
    assert Decimal(prepare.status.charged.cost or "0") > 0


@RUNGS
async def test_an_urgent_job_preempts_through_the_handshake_and_no_step_is_lost(native_gangs: bool) -> None:
    life = Life(a_cluster(), native_gangs=native_gangs)
    life.cluster.create_job(a_job())
    await life.run(60)
    life.cluster.create_job(a_job("urgent", priorityClassName="urgent", budget={"limits": {"tokens": "150000"}}))
    assert await life.run(900, until=lambda: finished(life, "tiny", "urgent"))
    assert life.outcomes("tiny") == [Outcome.PREPARED, Outcome.STOPPED, Outcome.LANDED]
    assert life.outcomes("urgent") == [Outcome.PREPARED, Outcome.LANDED]
    stopped, resumed = life.records("tiny")[1:]
    assert stopped.status.lost_steps == 0
    assert resumed.status.resumed_from == stopped.status.last_step
    assert (resumed.status.first_step or 0) == (stopped.status.last_step or 0) + 1
    log = [(entry.action, entry.reason) for entry in life.job("tiny").status.decisions]
    assert ("RequestStop", Reason.PREEMPTED) in log
    assert ("LowerDeadline", Reason.STOPPED) in log


async def test_the_urgent_job_is_charged_tokens_within_its_limit(life: Life) -> None:
    life.cluster.create_job(a_job("urgent", budget={"limits": {"tokens": "150000"}}))
    assert await life.run(600, until=lambda: finished(life, "urgent"))
    spent = life.job("urgent").status.spent
    assert spent is not None
    assert 0 < int(spent.tokens or "0") <= 150_000


async def test_suspend_checkpoints_and_stops_and_resume_goes_on(life: Life) -> None:
    life.cluster.create_job(a_job())
    await life.run(60)
    life.cluster.change_spec("default/tiny", suspend=True)
    assert await life.run(60, until=lambda: life.state() == "Suspended")
    conditions = life.job().status.conditions
    assert is_true(conditions, ConditionType.SUSPENDED)
    assert life.outcomes()[-1] == Outcome.STOPPED
    assert not life.cluster.gangs
    spent = life.job().status.spent
    await life.run(300)
    assert life.job().status.spent == spent, "a suspended job spends nothing"
    life.cluster.change_spec("default/tiny", suspend=False)
    assert await life.run(600, until=lambda: finished(life, "tiny"))
    suspended = find(life.job().status.conditions, ConditionType.SUSPENDED)
    assert suspended is not None
    assert (suspended.status, suspended.reason) == ("False", Reason.RESUMED)
    assert life.records()[-1].status.resumed_from == life.records()[-2].status.last_step


async def test_a_drained_operator_stops_and_settles_everything_and_the_next_one_goes_on(life: Life) -> None:
    life.cluster.create_job(a_job())
    await life.run(60)
    life.world.draining = True
    assert await life.run(60, until=lambda: life.state() == "Suspended")
    assert life.outcomes()[-1] == Outcome.STOPPED
    assert [each.status.phase for each in life.records()] == ["Settled"] * len(life.records())
    suspended = find(life.job().status.conditions, ConditionType.SUSPENDED)
    assert suspended is not None
    assert "the operator is being uninstalled" in suspended.message
    life.cluster.create_job(a_job("second"))
    await life.run(60)
    assert life.records("second") == [], "nothing is started"
    life.restart()
    assert await life.run(900, until=lambda: finished(life, "tiny"))


async def test_preparing_waits_for_no_pool_that_has_no_node(life: Life) -> None:
    life.cluster.pools["bare"] = a_pool("bare", price="0.10")
    life.cluster.create_job(a_job())
    await life.run(60)
    assert life.records()[0].spec.pool == "slots", "the other one is cheaper, but nothing of it is there"


async def test_a_job_that_is_created_suspended_starts_nothing(life: Life) -> None:
    life.cluster.create_job(a_job(suspend=True))
    await life.run(60)
    assert life.state() == "Suspended"
    assert life.records() == []


async def test_the_same_state_twice_writes_once(life: Life) -> None:
    life.cluster.create_job(a_job())
    life.cluster.create_job(a_job("urgent", priorityClassName="urgent", budget={"limits": {"tokens": "150000"}}))
    for _ in range(80):
        await life.settle_down()
        before = life.world.writes.count
        report = await life.cycle()
        assert report.quiet
        assert life.world.writes.count == before, life.world.writes.log[before:]
        life.cluster.advance(5)
    assert finished(life, "tiny", "urgent")


async def test_fast_numbers_are_written_at_most_every_fifteen_seconds(life: Life) -> None:
    life.cluster.create_job(a_job())
    await life.run(60)
    before = [what for what in life.world.writes.log if what.startswith("status")]
    await life.run(60)
    after = [what for what in life.world.writes.log if what.startswith("status")]
    assert 1 <= len(after) - len(before) <= 60 / 15 + 2


async def test_out_of_memory_steps_down_and_is_not_charged_to_backoff(life: Life) -> None:
    life.cluster.behaviours["default/tiny"] = Behaviour(memory_needed=1800 * 2**20)
    life.cluster.create_job(a_job(backoffLimit=0, training={"globalBatchSize": 16}))
    await life.run(900, until=lambda: Outcome.OUT_OF_MEMORY in life.outcomes() and len(life.records()) > 2)
    ended = next(record for record in life.records() if record.status.outcome == Outcome.OUT_OF_MEMORY)
    following = life.records()[ended.spec.number]
    assert following.spec.memory_step == ended.spec.memory_step + 1


async def test_a_crashing_job_fails_when_its_retries_are_used_up(life: Life) -> None:
    life.cluster.behaviours["default/tiny"] = Behaviour(exit_after=3, exit_code=1)
    life.cluster.create_job(a_job(backoffLimit=1, budget={"limits": {"cost": "1.00"}, "currency": "USD"}))
    assert await life.run(900, until=lambda: finished(life, "tiny"))
    failed = find(life.job().status.conditions, ConditionType.FAILED)
    assert failed is not None
    assert failed.reason == Reason.BACKOFF_LIMIT_EXCEEDED
    assert life.outcomes().count(Outcome.FAILED) == 2


async def test_a_bad_config_is_not_retried_until_the_spec_changes(life: Life) -> None:
    life.cluster.behaviours["default/tiny"] = Behaviour(exit_after=1, exit_code=64)
    life.cluster.create_job(a_job())
    assert await life.run(300, until=lambda: life.state() == "Stalled")
    attempts = len(life.records())
    await life.run(300)
    assert len(life.records()) == attempts
    stalled = find(life.job().status.conditions, ConditionType.STALLED)
    assert stalled is not None
    assert stalled.reason == Reason.BAD_CONFIG
    life.cluster.behaviours["default/tiny"] = Behaviour()
    life.cluster.change_spec("default/tiny", checkpoint__keep=4)
    assert await life.run(600, until=lambda: finished(life, "tiny"))
    assert not is_true(life.job().status.conditions, ConditionType.STALLED)


async def test_an_image_that_cannot_be_pulled_is_ended_by_the_startup_timeout_and_billed_as_waste(life: Life) -> None:
    life.cluster.behaviours["default/tiny"] = Behaviour(pulls=False)
    compute = {"accelerators": {"min": 2, "max": 2}, "startupTimeout": "60s"}
    life.cluster.create_job(a_job(compute=compute, backoffLimit=0))
    assert await life.run(600, until=lambda: finished(life, "tiny"))
    (record,) = life.records()
    assert record.status.outcome == Outcome.PODS_READY_TIMEOUT
    assert record.status.waste is not None
    assert float(record.status.waste.startup) >= 60
    assert Decimal((record.status.charged.cost if record.status.charged else None) or "0") > 0


async def test_ttl_deletes_a_finished_job_and_keeps_its_bill(life: Life) -> None:
    life.cluster.create_job(a_job(ttlSecondsAfterFinished=60))
    assert await life.run(900, until=lambda: "default/tiny" not in life.cluster.jobs)
    assert life.outcomes() == [Outcome.PREPARED, Outcome.LANDED]


@pytest.mark.parametrize("after", [0, 3, 10, 40, 60])
@pytest.mark.parametrize("orphan", [False, True], ids=["background", "orphan"])
async def test_deletion_in_any_state_settles_the_bill_and_leaves_no_child(after: int, orphan: bool) -> None:
    life = Life(a_cluster())
    life.cluster.create_job(a_job())
    await life.cycle()
    life.cluster.advance(after) if after else None
    await life.cycle()
    life.cluster.delete_job("default/tiny", orphan=orphan)
    assert await life.run(600, until=lambda: all(record.status.phase == "Settled" for record in life.records()))
    await life.settle_down()
    assert not life.cluster.gangs
    assert not life.cluster.children


async def test_another_controllers_job_is_left_alone(life: Life) -> None:
    life.cluster.create_job(a_job(managedBy="kueue.x-k8s.io/multikueue"))
    await life.run(60)
    assert life.records() == []
    assert life.job().status.observed_generation is None


async def test_two_jobs_race_for_an_accounts_last_money_and_one_waits() -> None:
    life = Life(a_cluster(slots=4))
    life.cluster.accounts["default/team-a"] = an_account(cost="0.05")
    budget = {"limits": {"cost": "0.05"}, "currency": "USD", "accountRef": {"name": "team-a"}}
    life.cluster.create_job(a_job("first", budget=budget))
    life.cluster.create_job(a_job("second", budget=budget))
    await life.cycle()
    assert len(life.cluster.records) == 1
    await life.run(1200, until=lambda: finished(life, "first"))
    settled = life.cluster.accounts["default/team-a"].status.settled
    assert Decimal(settled.cost or "0") <= Decimal("0.05")


async def test_a_re_created_job_gets_nothing_back_from_its_account(life: Life) -> None:
    life.cluster.accounts["default/team-a"] = an_account(cost="0.10")
    budget = {"limits": {"cost": "0.06"}, "currency": "USD", "accountRef": {"name": "team-a"}}
    life.cluster.create_job(a_job(budget=budget))
    await life.run(100)
    life.cluster.delete_job("default/tiny")
    await life.run(100)
    before = Decimal(life.cluster.accounts["default/team-a"].status.settled.cost or "0")
    assert before > 0
    life.cluster.create_job(a_job(budget=budget))
    await life.run(900, until=lambda: finished(life, "tiny"))
    after = Decimal(life.cluster.accounts["default/team-a"].status.settled.cost or "0")
    assert before < after <= Decimal("0.10")


@pytest.mark.parametrize("obeys", [True, False], ids=["trainer", "supervisor"])
async def test_the_operator_dies_right_after_the_start_and_the_attempt_ends_by_itself(obeys: bool) -> None:
    life = Life(a_cluster())
    life.cluster.behaviours["default/tiny"] = Behaviour(obeys=obeys)
    life.cluster.create_job(a_job())
    await life.run(60, until=lambda: life.state() == "Running")
    life.cluster.advance(1200)
    assert not any(gang.alive for gang in life.cluster.gangs.values())
    life.restart()
    await life.settle_down()
    assert all(record.status.phase == "Settled" for record in life.records()[:2])
    spent = sum(Decimal(r.status.charged.cost or "0") for r in life.records() if r.status.charged is not None)
    assert spent <= Decimal("0.06")


async def test_without_a_supervisor_the_kubelets_deadline_stops_it(life: Life) -> None:
    life.cluster.behaviours["default/tiny"] = Behaviour(obeys=False, supervised=False)
    life.cluster.create_job(a_job())
    await life.run(60, until=lambda: life.state() == "Running")
    life.cluster.advance(1200)
    record = life.records()[1]
    gang = life.cluster.gangs[f"default/{record.spec.attempt}"]
    pod = gang.pods[0]
    assert pod.finished_at is not None
    assert pod.bound_at is not None
    assert (pod.finished_at - pod.bound_at).total_seconds() <= record.spec.ends.hard


async def test_a_dearer_price_shortens_the_lease_and_the_limit_holds(life: Life) -> None:
    life.cluster.create_job(a_job())
    await life.run(60)
    life.cluster.set_price("slots", "1.00")
    await life.run(60)
    life.cluster.set_price("slots", "2.00")
    assert await life.run(600, until=lambda: finished(life, "tiny"))
    record = life.records()[-1]
    assert [quote.per_accelerator_hour for quote in record.status.quotes][:1] == ["1.00"]
    spent = life.job().status.spent
    assert spent is not None
    assert Decimal(spent.cost or "0") <= Decimal("0.06")
    assert record.status.outcome == Outcome.LANDED
    assert "Requote" in {entry.action for entry in life.job().status.decisions}


async def test_an_unreachable_node_is_reported_and_billed_up_to_the_hard_end(life: Life) -> None:
    life.cluster.create_job(a_job())
    await life.run(60)
    life.cluster.set_reachable("node-0", reachable=False)
    await life.run(20)
    risk = find(life.job().status.conditions, ConditionType.BUDGET_AT_RISK)
    assert risk is not None
    assert (risk.status, risk.reason) == ("True", Reason.NODE_UNREACHABLE)
    record = life.records()[-1]
    assert await life.run(900, until=lambda: life.records()[1].status.phase == "Settled")
    settled = life.records()[1]
    assert settled.status.estimated
    assert sum(interval.seconds for interval in settled.status.intervals) == record.spec.ends.hard


async def test_a_trainer_that_does_not_answer_is_stopped_by_its_jobs_deadline(life: Life) -> None:
    life.cluster.create_job(a_job())
    await life.run(60)
    (gang,) = life.cluster.gangs.values()
    gang.behaviour = Behaviour(answers=False)
    life.cluster.change_spec("default/tiny", suspend=True)
    assert await life.run(120, until=lambda: life.state() == "Suspended")
    reasons = [(entry.action, entry.reason) for entry in life.job().status.decisions]
    assert ("Acknowledge", Reason.CHECKPOINT_FAILED) in reasons


async def test_a_pool_without_room_lets_the_job_wait_and_says_why(life: Life) -> None:
    life.cluster.nodes["node-0"].accelerators = 0
    life.cluster.create_job(a_job())
    await life.run(60)
    admitted = find(life.job().status.conditions, ConditionType.ADMITTED)
    assert admitted is not None
    assert (admitted.status, admitted.reason) == ("False", Reason.QUEUED)
    waits = [entry for entry in life.job().status.decisions if entry.action == "Wait"]
    assert len(waits) == 1, "waiting on is no news"
    life.cluster.nodes["node-0"].accelerators = 2
    assert await life.run(600, until=lambda: finished(life, "tiny"))


async def test_another_pool_joins_and_its_status_is_written(life: Life) -> None:
    life.cluster.pools["spare"] = a_pool("spare", price=None)
    await life.settle_down()
    status = life.cluster.pools["spare"].status
    ready = find(status.conditions, ConditionType.READY)
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", Reason.MISSING_PRICE)
    slots = life.cluster.pools["slots"].status
    assert (slots.nodes, slots.accelerators, slots.free, slots.price_text) == (1, 2, 2, "0.50 USD")
