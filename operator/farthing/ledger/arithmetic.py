"""Exact amounts: what is charged and held rounds up, what is left rounds down: no rounding spends a farthing twice.

Rent is counted in whole *ticks* of one micro-unit of money × one accelerator × one second: integers, so that sums over
intervals are exact and only the total is rounded.
"""

from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import Final

from farthing.api.amounts import Axis
from farthing.units import LARGEST_COUNT, LARGEST_MONEY, MICRO, SECONDS_PER_HOUR

Amounts = Mapping[Axis, Decimal]

ZERO: Final = Decimal(0)
TICKS_PER_MICRO: Final = SECONDS_PER_HOUR
"""A price is per accelerator-hour, a tick is per accelerator-second."""
_MICROS: Final = 10**6

_UNIT: Final[Mapping[Axis, Decimal]] = {
    Axis.COST: MICRO,
    Axis.ACCELERATOR_HOURS: MICRO,
    Axis.ENERGY: MICRO,
    Axis.FLOPS: Decimal(1),
    Axis.TOKENS: Decimal(1),
}
"""The smallest amount that the API writes on each axis."""


LARGEST: Final[Mapping[Axis, Decimal]] = {
    axis: LARGEST_MONEY if unit == MICRO else LARGEST_COUNT for axis, unit in _UNIT.items()
}
"""The largest amount that the API writes on each axis."""


def round_down(axis: Axis, amount: Decimal) -> Decimal:
    """The amount as it is left: never more than it is, and never negative."""
    return max(ZERO, amount.quantize(_UNIT[axis], rounding=ROUND_FLOOR))


def ticks(price: Decimal, accelerators: int, seconds: int) -> int:
    """Rent of a gang for whole seconds, in ticks; `price` is per accelerator-hour with at most six decimals."""
    return int(price * _MICROS) * accelerators * seconds


def money(rent_ticks: int) -> Decimal:
    """Ticks as money, rounded up to a micro-unit."""
    return Decimal(-(-rent_ticks // TICKS_PER_MICRO)) * MICRO


def money_ticks(amount: Decimal) -> int:
    """The ticks that an amount of money buys, rounded down."""
    return int(amount * _MICROS) * TICKS_PER_MICRO


def accelerator_hours(accelerators: int, seconds: int) -> Decimal:
    """Accelerator-hours of a gang for whole seconds, rounded up to six decimals."""
    return money(ticks(Decimal(1), accelerators, seconds))


def plus(left: Amounts, right: Amounts) -> dict[Axis, Decimal]:
    """The sum by axis; an absent axis counts as zero."""
    return {axis: left.get(axis, ZERO) + right.get(axis, ZERO) for axis in Axis if axis in left or axis in right}


def minus(left: Amounts, right: Amounts) -> dict[Axis, Decimal]:
    """The axes of `left`, less `right`; may be negative."""
    return {axis: amount - right.get(axis, ZERO) for axis, amount in left.items()}


def within(amounts: Amounts, bounds: Amounts) -> dict[Axis, Decimal]:
    """The amounts, none of them above its bound; an axis without a bound stays as it is."""
    return {axis: min(amount, bounds.get(axis, amount)) for axis, amount in amounts.items()}
