"""What jobs' and accounts' holds have in common: one hold an attempt, dropped when its bill is settled."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from farthing.api.amounts import amounts
from farthing.api.budget import AccountHold
from farthing.api.job_status import HoldStatus
from farthing.errors import InsufficientBudget, LedgerError
from farthing.ledger.arithmetic import Amounts

Hold = TypeVar("Hold", AccountHold, HoldStatus)


def find(holds: Iterable[Hold], attempt: str) -> Hold | None:
    """The hold of that attempt, or None."""
    return next((hold for hold in holds if hold.attempt == attempt), None)


def without(holds: Sequence[Hold], attempt: str) -> list[Hold]:
    """The holds but for that attempt's."""
    return [hold for hold in holds if hold.attempt != attempt]


def require_room(attempt: str, wanted: Amounts, remaining: Amounts, whose: str) -> None:
    """Raises InsufficientBudget, naming the axis and both numbers, unless `wanted` fits `remaining` on every limited axis.

    Both are compared as they are written: what is wanted rounded up.
    """
    wanted = amounts(wanted).as_decimals()
    for axis, left in remaining.items():
        if wanted.get(axis, 0) > left:
            raise InsufficientBudget(
                f"attempt {attempt} wants to hold {wanted[axis]:f} {axis}, and {whose} has {left:f} left of it after what is"
                " spent and held: wait for a running attempt to end, or raise the limit"
            )


def require_covered(attempt: str, charged: Amounts, hold: AccountHold | HoldStatus | None) -> None:
    """Raises LedgerError where a charge exceeds its own hold: a bill can only be settled out of what was set aside."""
    if hold is None:
        return
    charged = amounts(charged).as_decimals()
    for axis, held in hold.amounts.as_decimals().items():
        if charged.get(axis, 0) > held:
            raise LedgerError(f"attempt {attempt} is charged {charged[axis]:f} {axis}, but only {held:f} were held for it")
