"""A run that landed goes on from its trunk where what ended it was raised; CheckpointAndStop ends at the stable rate."""

from datetime import timedelta
from typing import Any

import pytest
from tests.support.lives import START, Life, a_cluster, a_job

from farthing.api.conditions import ConditionType, Reason, find, is_true
from farthing.domain.outcome import Outcome
from farthing.engine.opening import run_config_of
from farthing.units import format_time

TOKENS = 1024
"""Of one step of the jobs here."""


def at(minutes: float) -> str:
    return format_time(START + timedelta(minutes=minutes))


async def landed(budget: dict[str, Any]) -> Life:
    """A life whose only job has landed inside this budget."""
    life = Life(a_cluster())
    life.cluster.create_job(a_job(budget={"currency": "USD", **budget}))
    assert await life.run(1500, until=lambda: life.state() == "Complete")
    assert life.outcomes() == [Outcome.PREPARED, Outcome.LANDED]
    return life


def resumes(life: Life) -> list[str]:
    """Where each attempt was told to begin."""
    configs = (run_config_of(record) for record in life.records())
    return [config.checkpoint.resume for config in configs if config is not None]


RAISED = [
    pytest.param({"limits": {"cost": "0.06"}}, {"budget__limits__cost": "0.12"}, id="money"),
    pytest.param(
        {"limits": {"acceleratorHours": "0.12"}}, {"budget__limits__acceleratorHours": "0.24"}, id="accelerator-hours"
    ),
    pytest.param({"limits": {"flops": "2e12"}}, {"budget__limits__flops": "4e12"}, id="flops"),
    pytest.param({"limits": {"tokens": "300000"}}, {"budget__limits__tokens": "600000"}, id="tokens"),
    pytest.param({"limits": {"cost": "9"}, "deadline": at(5)}, {"budget__deadline": at(30)}, id="deadline"),
]


@pytest.mark.parametrize(("budget", "change"), RAISED)
async def test_a_landed_run_goes_on_from_the_trunk_where_what_ended_it_is_raised(budget: dict[str, Any], change: Any) -> None:
    life = await landed(budget)
    before = life.job().status.checkpoint
    life.cluster.change_spec("default/tiny", **change)
    await life.run(30)
    assert not is_true(life.job().status.conditions, ConditionType.COMPLETE)
    assert life.job().status.completion_time is None
    assert await life.run(2500, until=lambda: life.state() == "Complete")
    assert life.outcomes() == [Outcome.PREPARED, Outcome.LANDED, Outcome.LANDED]
    assert resumes(life) == ["Newest", "Newest", "Trunk"]
    after = life.job().status.checkpoint
    assert before is not None
    assert after is not None
    assert after.step > before.step


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"budget__limits__tokens": "90000000"}, id="another axis"),
        pytest.param({"budget__limits__cost": "0.0601"}, id="by less than a landing takes"),
        pytest.param({"backoffLimit": 7}, id="nothing"),
    ],
)
async def test_a_landed_run_stays_complete_where_what_ended_it_was_not_raised_enough(change: Any) -> None:
    life = await landed({"limits": {"cost": "0.06", "tokens": "80000000"}})
    done = life.job().status.completion_time
    life.cluster.change_spec("default/tiny", **change)
    await life.run(120)
    assert life.state() == "Complete"
    assert life.job().status.completion_time == done
    assert len(life.records()) == 2


async def test_a_deadline_that_is_moved_by_too_little_or_was_not_what_ended_it_changes_nothing() -> None:
    life = await landed({"limits": {"cost": "9"}, "deadline": at(5)})
    life.cluster.change_spec("default/tiny", budget__deadline=at(5.5))
    await life.run(120)
    assert life.state() == "Complete"


async def test_a_limit_that_is_removed_is_raised() -> None:
    life = await landed({"limits": {"cost": "0.06", "tokens": "300000"}})
    life.cluster.change_spec("default/tiny", budget__limits={"cost": "0.06"})
    assert await life.run(900, until=lambda: len(life.records()) == 3)
    assert resumes(life)[-1] == "Trunk"


async def test_the_trunk_is_told_again_until_a_checkpoint_stands_behind_it() -> None:
    life = await landed({"limits": {"cost": "0.06"}})
    life.cluster.change_spec("default/tiny", budget__limits__cost="0.18")
    for seconds, code in ((8, 75), (60, 75)):
        count = len(life.records())
        assert await life.run(120, until=lambda count=count: len(life.records()) > count)
        await life.run(seconds)
        (gang,) = life.cluster.gangs.values()
        assert gang.trainer is not None
        gang.trainer.kill(code)
        await life.run(5)
    assert await life.run(2500, until=lambda: life.state() == "Complete")
    assert resumes(life) == ["Newest", "Newest", "Trunk", "Trunk", "Newest"]


STOPS: list[Any] = [
    pytest.param({"limits": {"cost": "0.06"}}, id="money"),
    pytest.param({"limits": {"tokens": str(300 * TOKENS + 500)}}, id="tokens, with less than a step to spare"),
    pytest.param({"limits": {"flops": f"{300 * TOKENS * 6e6 + 1e6:.0f}"}}, id="flops, with less than a step to spare"),
]


@pytest.mark.parametrize("budget", STOPS)
async def test_checkpoint_and_stop_ends_with_a_checkpoint_and_no_further_attempt(budget: dict[str, Any]) -> None:
    life = Life(a_cluster())
    life.cluster.create_job(a_job(budget={"currency": "USD", "onExhausted": "CheckpointAndStop", **budget}))
    assert await life.run(1500, until=lambda: life.state() in ("Complete", "Failed"))
    await life.run(200)
    assert life.outcomes() == [Outcome.PREPARED, Outcome.STOPPED]
    assert life.records()[-1].status.lost_steps == 0
    complete = find(life.job().status.conditions, ConditionType.COMPLETE)
    assert complete is not None
    assert (complete.status, complete.reason) == ("True", Reason.BUDGET_EXHAUSTED)


async def test_checkpoint_and_stop_goes_on_where_its_budget_is_raised() -> None:
    life = Life(a_cluster())
    budget = {"limits": {"cost": "0.06"}, "currency": "USD", "onExhausted": "CheckpointAndStop"}
    life.cluster.create_job(a_job(budget=budget))
    assert await life.run(1500, until=lambda: life.state() == "Complete")
    life.cluster.change_spec("default/tiny", budget__limits__cost="0.12")
    assert await life.run(1500, until=lambda: len(life.records()) == 3 and life.state() == "Complete")
    stopped, resumed = life.records()[1:]
    assert resumed.status.resumed_from == stopped.status.last_step
    assert resumes(life)[-1] == "Newest"
