"""An account's books: holds, settlements and what is left, as new versions of a TrainingBudget's status.

Every function returns the status to write under `resourceVersion`; asked twice it returns what it was given, so that a crash
between any two writes is repaired by doing the same again.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from farthing.api.amounts import Axis, amounts
from farthing.api.budget import AccountHold, TrainingBudget, TrainingBudgetStatus, WindowStatus
from farthing.api.conditions import Condition, ConditionType, Reason, find
from farthing.errors import LedgerError
from farthing.ledger import holds
from farthing.ledger.arithmetic import ZERO, Amounts, plus, round_down
from farthing.ledger.windows import current_window, limit_in_window, spent_in_window
from farthing.units import format_count, format_micro, format_time

MAX_SETTLED_ATTEMPTS: Final = 1024
"""maxItems of settledAttempts: an attempt is settled within cycles of its end, long before so many others are."""


def remaining(budget: TrainingBudget, now: datetime) -> dict[Axis, Decimal]:
    """Limit (with what was carried over) − spent in the window − held, on each limited axis; rounded down, never below 0."""
    window = current_window(budget, now)
    taken = plus(spent_in_window(budget, window), held(budget.status))
    return {axis: round_down(axis, limit - taken.get(axis, ZERO)) for axis, limit in limit_in_window(budget, window).items()}


def held(status: TrainingBudgetStatus) -> dict[Axis, Decimal]:
    """The sum of the holds by axis."""
    total: dict[Axis, Decimal] = {}
    for hold in status.holds:
        total = plus(total, hold.amounts.as_decimals())
    return total


def with_hold(
    budget: TrainingBudget, attempt: str, job: str, job_uid: str, wanted: Amounts, now: datetime
) -> TrainingBudgetStatus:
    """The status with `wanted` (by axis) set aside for the attempt; unchanged where it is already.

    Raises InsufficientBudget where it does not fit limit − spent − held, LedgerError where the attempt was settled before.
    """
    if attempt in budget.status.settled_attempts:
        raise LedgerError(f"attempt {attempt} is settled on account {budget.metadata.name}: it can hold nothing again")
    if holds.find(budget.status.holds, attempt) is not None:
        return budget.status
    holds.require_room(attempt, wanted, remaining(budget, now), f"account {budget.metadata.name}")
    hold = AccountHold(attempt=attempt, job=job, job_uid=job_uid, amounts=amounts(wanted))
    window = current_window(budget, now)
    return budget.status.model_copy(
        update={
            "holds": [*budget.status.holds, hold],
            "window": window,
            "spent": amounts(spent_in_window(budget, window)),
        }
    )


def with_settlement(status: TrainingBudgetStatus, attempt: str, charged: Amounts) -> TrainingBudgetStatus:
    """The status with the attempt's charge (by axis) moved from its hold to the closing balance; settled once, whatever comes.

    Raises LedgerError where the charge exceeds the hold on an axis that was held.
    """
    if attempt in status.settled_attempts:
        return without_hold(status, attempt)
    holds.require_covered(attempt, charged, holds.find(status.holds, attempt))
    settled = amounts(plus(status.settled.as_decimals(), charged))
    at_start = status.window.settled_at_start.as_decimals() if status.window is not None else {}
    spent = {axis: total - at_start.get(axis, ZERO) for axis, total in settled.as_decimals().items()}
    return without_hold(status, attempt).model_copy(
        update={
            "settled": settled,
            "settled_attempts": [*status.settled_attempts, attempt][-MAX_SETTLED_ATTEMPTS:],
            "spent": amounts(spent),
        }
    )


def without_hold(status: TrainingBudgetStatus, attempt: str) -> TrainingBudgetStatus:
    """The status without the attempt's hold; the same object where it has none."""
    if holds.find(status.holds, attempt) is None:
        return status
    return status.model_copy(update={"holds": holds.without(status.holds, attempt)})


def derived(budget: TrainingBudget, now: datetime) -> TrainingBudgetStatus:
    """The status with everything that follows from spec, holds, settled and time: window, spent, texts, the Ready condition.

    The same object where nothing changed: a second cycle writes nothing.
    """
    window = current_window(budget, now)
    spent, limits = spent_in_window(budget, window), limit_in_window(budget, window)
    status = budget.status.model_copy(
        update={
            "observed_generation": budget.metadata.generation or None,
            "window": window,
            "spent": amounts(spent),
            "spent_text": _text(limits, spent, budget.spec.currency),
            "limit_text": _text(limits, limits, budget.spec.currency),
            "conditions": _conditions(budget, now),
        }
    )
    return budget.status if status == budget.status else status


def _conditions(budget: TrainingBudget, now: datetime) -> list[Condition]:
    """Ready while every limited axis has something left; another one's time moves only when its status does."""
    used_up = [axis for axis, left in remaining(budget, now).items() if not left]
    standing = find(budget.status.conditions, ConditionType.READY)
    state = "False" if used_up else "True"
    ready = Condition(
        type=ConditionType.READY,
        status=state,
        reason=Reason.ACCOUNT_EXHAUSTED if used_up else Reason.OK,
        message=f"spent and held: all of {', '.join(used_up)}" if used_up else "",
        last_transition_time=standing.last_transition_time if standing and standing.status == state else format_time(now),
        observed_generation=budget.metadata.generation or None,
    )
    return [*(other for other in budget.status.conditions if other.type != ConditionType.READY), ready]


def _text(limits: Mapping[Axis, Decimal], values: Amounts, currency: str | None) -> str:
    """The limited axes for a printer column: `1.25 USD, 3.5 h, 1.9T FLOPs, 300k tokens`."""
    units = {
        Axis.COST: currency or "",
        Axis.ACCELERATOR_HOURS: "h",
        Axis.FLOPS: "FLOPs",
        Axis.TOKENS: "tokens",
        Axis.ENERGY: "kWh",
    }
    counts = (Axis.FLOPS, Axis.TOKENS)
    texts = {axis: values.get(axis, ZERO) for axis in limits}
    return ", ".join(
        f"{format_count(float(value)) if axis in counts else format_micro(value)} {units[axis]}".strip()
        for axis, value in texts.items()
    )


__all__ = ["WindowStatus", "derived", "held", "remaining", "with_hold", "with_settlement", "without_hold"]
