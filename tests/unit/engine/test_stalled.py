"""What cannot be obeyed stalls with a reason, and recovers by itself when it is mended."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from tests.support.lives import Life, a_cluster, a_job, a_pool, an_account

from farthing.api.conditions import ConditionType, Reason, find, is_true
from farthing.catalog import preset
from farthing.simulator.cluster import Cluster

Change = Callable[[Cluster], object]


def stalled_reason(life: Life) -> str | None:
    condition = find(life.job().status.conditions, ConditionType.STALLED)
    return condition.reason if condition is not None and condition.status == "True" else None


def price(cluster: Cluster) -> None:
    cluster.pools["slots"] = a_pool(acceleratorsPerNode=2, maxNodes=1)


CASES: dict[str, tuple[dict[str, Any], Change, str, Change]] = {
    "an energy limit": (
        {"budget": {"limits": {"energy": "5"}}},
        lambda cluster: None,
        Reason.UNMETERED_AXIS,
        lambda cluster: cluster.change_spec("default/tiny", budget={"limits": {"cost": "0.06"}, "currency": "USD"}),
    ),
    "a gang that never fits": (
        {"compute": {"accelerators": {"min": 64, "max": 64}}},
        lambda cluster: None,
        Reason.NEVER_FITS,
        lambda cluster: cluster.change_spec("default/tiny", compute={"accelerators": {"min": 1, "max": 2}}),
    ),
    "an unknown preset": (
        {"model": {"preset": "llama-9000"}},
        lambda cluster: None,
        Reason.UNKNOWN_PRESET,
        lambda cluster: cluster.change_spec("default/tiny", model={"preset": "llama-1m"}),
    ),
    "a vocabulary that no tokenizer can have": (
        {"model": {"config": {**preset("llama-1m"), "vocab_size": 2}}, "data": {"train": {"uri": "file:///data/*.py"}}},
        lambda cluster: None,
        Reason.INVALID_SPEC,
        lambda cluster: cluster.change_spec("default/tiny", model={"preset": "llama-1m"}),
    ),
    "QLoRA": (
        {"model": {"pretrained": {"uri": "file:///m", "config": {}}, "adapter": "QLoRA"}},
        lambda cluster: None,
        Reason.INVALID_SPEC,
        lambda cluster: cluster.change_spec("default/tiny", model={"preset": "llama-1m"}),
    ),
    "a pool without a price": (
        {},
        lambda cluster: cluster.pools.update(slots=a_pool(price=None, acceleratorsPerNode=2)),
        Reason.MISSING_PRICE,
        price,
    ),
    "a pool that costs nothing, and money the only limit": (
        {},
        lambda cluster: cluster.pools.update(slots=a_pool(price="0", acceleratorsPerNode=2)),
        Reason.INVALID_SPEC,
        price,
    ),
    "an unknown accelerator": (
        {},
        lambda cluster: cluster.pools.update(slots=a_pool(accelerator="abacus", acceleratorsPerNode=2)),
        Reason.UNKNOWN_ACCELERATOR,
        price,
    ),
    "a pool that the namespace may not use": (
        {},
        lambda cluster: cluster.pools.update(slots=a_pool(namespaceSelector={"matchLabels": {"team": "b"}})),
        Reason.NO_POOL,
        price,
    ),
    "no account of that name": (
        {"budget": {"limits": {"cost": "0.06"}, "currency": "USD", "accountRef": {"name": "team-a"}}},
        lambda cluster: None,
        Reason.ACCOUNT_NOT_FOUND,
        lambda cluster: cluster.accounts.update({"default/team-a": an_account()}),
    ),
    "a mount on Farthing's own path": (
        {"template": {"volumeMounts": [{"name": "data", "mountPath": "/checkpoints/x"}]}},
        lambda cluster: None,
        Reason.INVALID_SPEC,
        lambda cluster: cluster.change_spec("default/tiny", template={}),
    ),
    "a selection that nothing can run yet": (
        {"data": {"train": {"uri": "file:///data/*.py"}, "selection": {"mode": "Importance"}}},
        lambda cluster: None,
        Reason.INVALID_SPEC,
        lambda cluster: cluster.change_spec("default/tiny", data={"train": {"uri": "file:///data/*.py"}}),
    ),
    "a budget that buys nothing": (
        {"budget": {"limits": {"cost": "0.000100"}, "currency": "USD"}},
        lambda cluster: None,
        "",
        lambda cluster: cluster.change_spec("default/tiny", budget={"limits": {"cost": "0.06"}, "currency": "USD"}),
    ),
}


@pytest.mark.parametrize("case", list(CASES))
async def test_it_stalls_with_a_reason_and_recovers_when_mended(case: str) -> None:
    spec, harm, reason, mend = CASES[case]
    life = Life(a_cluster())
    life.cluster.create_job(a_job(**spec))
    harm(life.cluster)
    await life.settle_down()
    assert life.state() == "Stalled"
    assert stalled_reason(life) is not None
    assert reason in ("", stalled_reason(life))
    assert life.records() == []
    mend(life.cluster)
    await life.run(60)
    assert stalled_reason(life) is None
    assert life.records(), "it starts once it can"


async def test_what_the_api_server_refuses_stalls_with_its_text_and_is_tried_again_later() -> None:
    life = Life(a_cluster())
    life.cluster.create_job(a_job())
    life.world.store.refuses["Job"] = "exceeded quota: slots"
    await life.settle_down()
    condition = find(life.job().status.conditions, ConditionType.STALLED)
    assert condition is not None
    assert (condition.status, condition.reason, condition.message) == ("True", Reason.REFUSED, "exceeded quota: slots")
    before = life.world.writes.count
    life.cluster.advance(5)
    await life.settle_down()
    assert life.world.writes.count == before, "nothing is tried in every cycle"
    life.world.store.refuses.clear()
    await life.run(60)
    assert not is_true(life.job().status.conditions, ConditionType.STALLED)
    assert life.outcomes()[0] == "Prepared", "the start that was cut off goes on under its own name"


async def test_a_refused_start_that_nobody_mends_gives_its_hold_back() -> None:
    life = Life(a_cluster())
    life.cluster.create_job(a_job(compute={"accelerators": {"min": 2, "max": 2}, "startupTimeout": "60s"}))
    life.world.store.refuses["Job"] = "exceeded quota: slots"
    await life.run(90)
    assert life.outcomes()[0] == "NeverStarted"
    spent = life.job().status.spent
    assert spent is not None
    assert (spent.cost or "0") == "0"


async def test_a_passed_deadline_fails_the_job() -> None:
    life = Life(a_cluster())
    budget = {"limits": {"cost": "0.06"}, "currency": "USD", "deadline": "2026-11-24T11:00:00Z"}
    life.cluster.create_job(a_job(budget=budget))
    await life.settle_down()
    failed = find(life.job().status.conditions, ConditionType.FAILED)
    assert failed is not None
    assert (failed.status, failed.reason) == ("True", Reason.DEADLINE_EXCEEDED)


async def test_an_exhausted_budget_fails_the_job_and_a_raised_one_lets_it_go_on() -> None:
    life = Life(a_cluster())
    life.cluster.create_job(a_job())
    await life.run(60)
    (gang,) = life.cluster.gangs.values()
    assert gang.trainer is not None
    gang.trainer.kill(137)
    life.cluster.change_spec("default/tiny", budget={"limits": {"cost": "0.012"}, "currency": "USD"})
    await life.run(120, until=lambda: life.state() == "Failed")
    failed = find(life.job().status.conditions, ConditionType.FAILED)
    assert failed is not None
    assert failed.reason == Reason.BUDGET_EXHAUSTED
    life.cluster.change_spec("default/tiny", budget={"limits": {"cost": "0.10"}, "currency": "USD"})
    assert await life.run(600, until=lambda: life.state() == "Complete")
    assert not is_true(life.job().status.conditions, ConditionType.FAILED)


async def test_a_pool_that_costs_nothing_runs_a_job_that_something_else_ends() -> None:
    life = Life(a_cluster())
    life.cluster.pools["slots"] = a_pool(price="0", acceleratorsPerNode=2)
    life.cluster.create_job(a_job(budget={"limits": {"cost": "0.06", "tokens": "150000"}, "currency": "USD"}))
    assert await life.run(900, until=lambda: life.state() == "Complete")
    spent = life.job().status.spent
    assert spent is not None
    assert Decimal(spent.cost or "0") == 0
    assert 0 < int(spent.tokens or "0") <= 150_000
