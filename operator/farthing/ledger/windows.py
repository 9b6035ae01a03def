"""Windows of an account: the limits count anew every period; what is left over may be carried on."""

from datetime import datetime, timedelta

from farthing.api.amounts import amounts
from farthing.api.budget import TrainingBudget, WindowStatus
from farthing.ledger.arithmetic import LARGEST, ZERO, Amounts, minus, plus, within
from farthing.units import format_time, parse_duration, parse_time


def current_window(budget: TrainingBudget, now: datetime) -> WindowStatus | None:
    """The window that `now` lies in, opened if it has to be; None for an account without windows.

    A window that is open stays open until its end: a clock that steps back, or a changed spec, opens no earlier one.
    """
    spec, standing = budget.spec.window, budget.status.window
    if spec is None:
        return None
    if standing is not None and now < parse_time(standing.end):
        return standing
    period = timedelta(seconds=parse_duration(spec.period))
    origin = parse_time(spec.start or budget.metadata.creation_timestamp or format_time(now))
    start = origin + max(0, (now - origin) // period) * period
    return WindowStatus(
        start=format_time(start),
        end=format_time(start + period),
        settled_at_start=budget.status.settled,
        carried=amounts(_carried(budget, standing, start, period)),
    )


def spent_in_window(budget: TrainingBudget, window: WindowStatus | None) -> Amounts:
    """What was settled since the window opened; without windows, all that ever was."""
    settled = budget.status.settled.as_decimals()
    return settled if window is None else minus(settled, window.settled_at_start.as_decimals())


def limit_in_window(budget: TrainingBudget, window: WindowStatus | None) -> Amounts:
    """The limits by axis, with what was carried into the window; never more than can be written down."""
    limits = budget.spec.limits.as_decimals()
    carried = {} if window is None else window.carried.as_decimals()
    return within({axis: limit + carried.get(axis, ZERO) for axis, limit in limits.items()}, LARGEST)


def _carried(budget: TrainingBudget, standing: WindowStatus | None, start: datetime, period: timedelta) -> Amounts:
    """With `carryOver`: what the standing window left over, and the whole limit of each one that passed unseen.

    Holds are not taken off: they count against the new window in full, and are settled in it.
    """
    if not budget.spec.carry_over or standing is None:
        return {}
    limits = budget.spec.limits.as_decimals()
    left = minus(limit_in_window(budget, standing), spent_in_window(budget, standing))
    unseen = max(0, (start - parse_time(standing.end)) // period)
    kept = {axis: max(ZERO, amount) for axis, amount in left.items()}
    return within(plus(kept, {axis: limit * unseen for axis, limit in limits.items()}), LARGEST)
