"""A fault of our own in one job's numbers stalls that job alone, says where it is, and is gone when it is mended."""

import pytest
from tests.support.lives import PLANNER, Life, a_cluster, a_job

from farthing.api.conditions import ConditionType, Reason, find
from farthing.domain.plan import PlanSet
from farthing.domain.planning import PlanRequest
from farthing.engine import steps


def two_jobs() -> Life:
    life = Life(a_cluster(slots=4))
    life.cluster.create_job(a_job("odd", training={"globalBatchSize": 6}))
    life.cluster.create_job(a_job("plain"))
    life.faulty = True
    return life


def broken(request: PlanRequest) -> PlanSet:
    if request.global_batch == 6:
        raise ZeroDivisionError("a sum of ours")
    return PLANNER(request)


async def test_a_fault_in_a_plan_stalls_its_job_and_no_other() -> None:
    life = two_jobs()
    life.planner = broken
    await life.run(60)
    condition = find(life.job("odd").status.conditions, ConditionType.STALLED)
    assert condition is not None
    assert condition.reason == Reason.INTERNAL_ERROR
    assert "ZeroDivisionError: a sum of ours (test_faults.py:" in condition.message
    assert "please report it" in condition.message
    assert life.records("odd") == []
    assert life.state("plain") == "Running"
    life.planner, life.faulty = PLANNER, False
    await life.run(60)
    assert life.job("odd").status.state != "Stalled"


async def test_a_fault_that_stays_writes_nothing_again() -> None:
    life = two_jobs()

    def with_addresses(request: PlanRequest) -> PlanSet:
        if request.global_batch == 6:
            raise ValueError(f"not for {object()}")
        return PLANNER(request)

    life.planner = with_addresses
    await life.settle_down()
    before = life.job("odd").to_dict()
    await life.cycle()
    assert life.job("odd").to_dict() == before


async def test_a_fault_in_a_start_leaves_nothing_half_made(monkeypatch: pytest.MonkeyPatch) -> None:
    life, real = two_jobs(), steps.run_config

    def fails(job, *others):
        if job.metadata.name == "odd":
            raise KeyError("a name of ours")
        return real(job, *others)

    monkeypatch.setattr(steps, "run_config", fails)
    await life.run(60)
    assert life.records("odd") == []
    assert life.job("odd").status.holds == []
    assert life.state("plain") == "Running"
    messages = [condition.message for condition in life.job("odd").status.conditions]
    assert any("KeyError: 'a name of ours'" in message for message in messages)
    monkeypatch.undo()
    life.faulty = False
    await life.run(120)
    assert life.records("odd")
