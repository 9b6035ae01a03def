"""What fuzzing found: each of these once ended the operator's process, for everybody, in every cycle."""

from datetime import timedelta
from typing import Any

import pytest
from tests.support.fuzz import BASES, named
from tests.support.lives import START, Life, a_cluster, a_job
from tests.support.manifests import changed
from tests.support.verdicts import answered, job_verdict

from farthing.api import GPUNodePool, TrainingBudget
from farthing.scheduler.urgency import urgency
from farthing.simulator.cluster import Node

ACCOUNT = {"accountRef": {"name": "account-0"}, "limits": {"cost": "0.06"}, "currency": "USD"}
DEADLINE = {"limits": {"cost": "1000"}, "currency": "USD", "deadline": "2099-01-01T00:00:00Z"}
LARGEST = "9" * 32

FOUND: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a pool so slow that no date can hold the run's end": ({"budget": DEADLINE}, {"spec.rate": {"flopsPerSecond": "1"}}),
    "an account of more digits than a decimal keeps by itself": (
        {"budget": ACCOUNT | {"limits": {"tokens": "5e5"}}},
        {"spec.limits": {"tokens": LARGEST, "flops": LARGEST}},
    ),
    "a limit of more digits than that": ({"budget": {"limits": {"flops": LARGEST}}}, {}),
    "windows of a second whose leftovers outgrow every number": (
        {"budget": ACCOUNT},
        {"spec.limits": {"cost": "999999999999"}, "spec.window": {"period": "1s"}, "spec.carryOver": True},
    ),
    "a claim on a time zone of its own": ({"budget": DEADLINE | {"deadline": "2199-12-31T23:59:59-14:59"}}, {}),
    "a startup timeout of decades": ({"compute": {"startupTimeout": "9999d99999h", "accelerators": {"min": 1, "max": 1}}}, {}),
}


@pytest.mark.parametrize("name", list(FOUND))
async def test_it_is_answered_and_an_honest_job_runs_beside_it(name: str) -> None:
    job, around = FOUND[name]
    life = Life(a_cluster())
    pool = GPUNodePool.model_validate(named(changed(BASES["GPUNodePool"], _of(around, "rate")), "odd"))
    account = TrainingBudget.model_validate(
        named(changed(BASES["TrainingBudget"], _of(around, "limits", "window", "carryOver")), "account-0", "default")
    )
    if "spec.rate" in around:
        life.cluster.pools = {"odd": pool}
        life.cluster.nodes = {"odd-0": Node("odd", 2)}
    life.cluster.accounts["default/account-0"] = account
    life.cluster.create_job(a_job("tiny", **job))
    life.cluster.create_job(a_job("honest", compute={"accelerators": {"min": 1, "max": 1}}))
    await life.run(30)
    assert job_verdict(life.job())
    assert job_verdict(life.job("honest"))
    assert answered(life.cluster.accounts["default/account-0"].status.conditions)


def test_work_that_takes_longer_than_dates_last_is_urgent() -> None:
    assert urgency(now=START, created=START, deadline=START + timedelta(days=1), window_end=None, work_seconds=1e20) == 1.0


def _of(around: dict[str, Any], *names: str) -> dict[str, Any]:
    """The changes of these members of a spec."""
    return {path: value for path, value in around.items() if path.split(".")[1] in names}
