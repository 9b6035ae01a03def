from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from tests.unit.ledger.builders import T0, after

from farthing.api.amounts import Axis, Limits, amounts
from farthing.api.base import ObjectMeta
from farthing.api.budget import TrainingBudget, TrainingBudgetSpec, TrainingBudgetStatus, WindowSpec
from farthing.api.conditions import Condition
from farthing.errors import InsufficientBudget, LedgerError
from farthing.ledger.account import MAX_SETTLED_ATTEMPTS, derived, remaining, with_hold, with_settlement, without_hold
from farthing.units import format_time

DAY = 86400


def account(limits: dict[str, str] | None = None, status: TrainingBudgetStatus | None = None, **spec: Any) -> TrainingBudget:
    return TrainingBudget(
        metadata=ObjectMeta(name="team-a", generation=3, creation_timestamp=format_time(T0)),
        spec=TrainingBudgetSpec(limits=Limits(**(limits or {"cost": "10"})), currency="USD", **spec),
        status=status or TrainingBudgetStatus(),
    )


def daily(**spec: Any) -> TrainingBudget:
    return account(window=WindowSpec(period="1d"), **spec)


def money(amount: str) -> dict[Axis, Decimal]:
    return {Axis.COST: Decimal(amount)}


def held(budget: TrainingBudget, attempt: str, amount: str, now: datetime = T0) -> TrainingBudget:
    return written(budget, with_hold(budget, attempt, "lm", "u1", money(amount), now))


def written(budget: TrainingBudget, status: TrainingBudgetStatus) -> TrainingBudget:
    return budget.model_copy(update={"status": status})


def spent(budget: TrainingBudget, attempt: str, amount: str, now: datetime = T0) -> TrainingBudget:
    """An attempt that held and spent all of `amount`."""
    budget = held(budget, attempt, amount, now)
    return written(budget, with_settlement(budget.status, attempt, money(amount)))


def test_a_hold_takes_from_what_is_left_until_it_is_settled() -> None:
    budget = held(account(), "a-1", "4")
    assert remaining(budget, T0) == money("6")
    budget = written(budget, with_settlement(budget.status, "a-1", money("1.5")))
    assert remaining(budget, T0) == money("8.5")
    assert budget.status.spent == budget.status.settled == amounts(money("1.5"))
    assert budget.status.settled_attempts == ["a-1"]


def test_holding_and_settling_twice_change_nothing() -> None:
    budget = held(account(), "a-1", "4")
    assert with_hold(budget, "a-1", "lm", "u1", money("4"), T0) is budget.status
    once = with_settlement(budget.status, "a-1", money("1"))
    assert with_settlement(once, "a-1", money("1")) is once
    assert without_hold(once, "a-1") is once


def test_a_settled_attempt_cannot_hold_again() -> None:
    with pytest.raises(LedgerError, match="a-1 is settled on account team-a"):
        held(spent(account(), "a-1", "1"), "a-1", "1")


def test_a_hold_that_does_not_fit_names_axis_and_numbers() -> None:
    budget = held(account(), "a-1", "4")
    with pytest.raises(InsufficientBudget, match=r"a-2 wants to hold 6\.000001 cost, and account team-a has 6\.000000 left"):
        held(budget, "a-2", "6.0000001")
    assert held(budget, "a-2", "6").status.holds[1].amounts == amounts(money("6"))


def test_an_axis_without_a_limit_needs_no_room() -> None:
    status = with_hold(account(), "a-1", "lm", "u1", {Axis.FLOPS: Decimal("1e15")}, T0)
    assert status.holds[0].amounts.flops == "1000000000000000"


def test_a_charge_above_its_hold_is_a_bug() -> None:
    with pytest.raises(LedgerError, match=r"a-1 is charged 4\.1 cost, but only 4 were held"):
        with_settlement(held(account(), "a-1", "4").status, "a-1", money("4.1"))


def test_a_charge_whose_hold_is_lost_still_counts() -> None:
    assert with_settlement(TrainingBudgetStatus(), "a-1", money("1")).settled == amounts(money("1"))


def test_a_hold_that_was_dropped_is_free_again() -> None:
    budget = held(account(), "a-1", "4")
    assert without_hold(budget.status, "a-1").holds == []


def test_only_the_newest_settled_attempts_are_remembered() -> None:
    many = TrainingBudgetStatus(settled_attempts=[f"a-{number}" for number in range(MAX_SETTLED_ATTEMPTS)])
    names = with_settlement(many, "b-1", {}).settled_attempts
    assert (len(names), names[0], names[-1]) == (MAX_SETTLED_ATTEMPTS, "a-1", "b-1")


def test_derived_adds_what_follows_and_then_rests() -> None:
    budget = spent(account({"cost": "10", "flops": "2e12", "tokens": "5000", "accelerator_hours": "3"}), "a-1", "2.5")
    status = derived(budget, T0)
    assert (status.spent_text, status.limit_text) == ("2.5 USD, 0 h, 0 FLOPs, 0 tokens", "10 USD, 3 h, 2T FLOPs, 5k tokens")
    assert status.observed_generation == 3
    assert [(one.type, one.status, one.reason) for one in status.conditions] == [("Ready", "True", "OK")]
    again = written(budget, status)
    assert derived(again, after(60)) is status


def test_an_account_that_is_used_up_is_not_ready_and_keeps_other_conditions() -> None:
    other = Condition(type="Custom", status="True", reason="X", last_transition_time=format_time(T0))
    budget = account(status=TrainingBudgetStatus(conditions=[other]))
    budget = written(budget, derived(budget, T0))
    budget = written(held(budget, "a-1", "10"), derived(held(budget, "a-1", "10"), after(60)))
    ready = budget.status.conditions[-1]
    assert (ready.status, ready.reason, ready.message) == ("False", "AccountExhausted", "spent and held: all of cost")
    assert ready.last_transition_time == format_time(after(60))
    assert budget.status.conditions[0] == other


def test_a_window_counts_anew() -> None:
    budget = spent(daily(), "a-1", "8")
    budget = written(budget, derived(budget, T0))
    assert remaining(budget, after(DAY - 1)) == money("2")
    assert remaining(budget, after(DAY)) == money("10")
    budget = written(budget, derived(budget, after(2.5 * DAY)))
    assert budget.status.window is not None
    assert (budget.status.window.start, budget.status.window.end) == (format_time(after(2 * DAY)), format_time(after(3 * DAY)))
    assert budget.status.spent == amounts(money("0"))
    assert budget.status.settled == amounts(money("8"))
    budget = spent(budget, "a-2", "3", after(2.6 * DAY))
    assert budget.status.spent == amounts(money("3"))


def test_a_hold_from_before_counts_in_the_new_window() -> None:
    budget = held(daily(), "a-1", "8")
    assert remaining(budget, after(DAY)) == money("2")


def test_what_a_window_leaves_is_carried_over_with_every_window_that_passed_unseen() -> None:
    budget = spent(daily(carry_over=True), "a-1", "8")
    budget = written(budget, derived(budget, T0))
    assert remaining(budget, after(DAY)) == money("12")
    assert remaining(budget, after(3 * DAY)) == money("32")
    over = budget.model_copy(update={"spec": budget.spec.model_copy(update={"limits": Limits(cost="5")})})
    assert remaining(over, after(DAY)) == money("5"), "a limit that was lowered carries no debt"


def test_a_clock_that_steps_back_opens_no_earlier_window() -> None:
    budget = daily()
    budget = written(budget, derived(budget, after(DAY)))
    assert derived(budget, T0).window == budget.status.window


def test_a_window_may_start_on_a_day_of_its_own() -> None:
    start = format_time(after(-3600))
    window = derived(account(window=WindowSpec(period="1d", start=start)), T0).window
    assert window is not None
    assert window.start == start
    early = derived(account(window=WindowSpec(period="1d", start=format_time(after(3600)))), T0).window
    assert early is not None
    assert early.start == format_time(after(3600))
