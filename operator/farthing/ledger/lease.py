"""Leases: authority to spend, granted ahead for as long as what is left can buy."""

from decimal import ROUND_FLOOR, Decimal
from math import inf
from typing import Final

from farthing.api.amounts import Axis
from farthing.api.spend import Quote
from farthing.domain.decision import Amounts, Lease, NestedEnds
from farthing.domain.plan import Plan
from farthing.errors import InsufficientBudget, MissingPrice
from farthing.ledger.arithmetic import accelerator_hours, money, round_down, ticks
from farthing.ledger.ends import WORST_QUANTILE, grace_seconds, nested_ends
from farthing.units import MICRO, SECONDS_PER_HOUR

DEADLINE: Final = "deadline"
WANTED: Final = "wanted"
UNBOUNDED: Final = "none"
MAX_LEASE_SECONDS: Final = 30 * 86400
"""A lease that nothing bounds in time (a budget of tokens or FLOPs alone) is renewed after this long at the latest."""


def hard_seconds(
    remaining: Amounts, accelerators: int, price_per_accelerator_hour: Decimal | None, seconds_to_deadline: float | None
) -> tuple[float, str]:
    """How many seconds of the gang the rest buys, rounded down to a microsecond, and the axis (or `deadline`) that binds.

    `remaining` by axis, absent = unlimited; the price in the budget's currency. Tokens and FLOPs bind no seconds: the trainer
    counts them. Infinite, with `none`, where nothing binds. Raises MissingPrice for a money budget without a price.
    """
    per_second: dict[str, Decimal] = {Axis.ACCELERATOR_HOURS: Decimal(accelerators)}
    if price_per_accelerator_hour is not None:
        per_second[Axis.COST] = price_per_accelerator_hour * accelerators
    elif Axis.COST in remaining:
        raise MissingPrice("the budget counts money, and the pool has no price: give spec.price on the GPUNodePool")
    bounds = {
        str(axis): _floor_seconds(amount * SECONDS_PER_HOUR / per_second[axis])
        for axis, amount in remaining.items()
        if per_second.get(axis)
    }
    if seconds_to_deadline is not None:
        bounds[DEADLINE] = max(0.0, seconds_to_deadline)
    binding = min(bounds, key=lambda name: (bounds[name], name), default=UNBOUNDED)
    return bounds.get(binding, inf), binding


def _floor_seconds(seconds: Decimal) -> float:
    return float(max(Decimal(0), seconds).quantize(MICRO, rounding=ROUND_FLOOR))


def grant(
    plan: Plan,
    remaining: Amounts,
    *,
    account_remaining: Amounts | None = None,
    account_name: str | None = None,
    quote: Quote,
    seconds_to_deadline: float | None,
    seconds_wanted: float | None = None,
    control_period: float,
    controller_lag: float,
    startup_timeout: float,
    tokens_limit: int | None,
    tokens_done: int = 0,
) -> Lease:
    """A lease for one attempt of `plan`: ends, and what is set aside on every axis that the job or its account limits.

    `remaining` and `account_remaining` by axis, absent = unlimited; `tokens_limit` is the job's own limit of the surviving
    lineage and `tokens_done` the lineage so far. `seconds_wanted` shortens the lease where the run needs less than what is
    left. `lands` says whether its *seconds* end because the budget does; its tokens and FLOPs always are the budget's own.
    Raises InsufficientBudget when what is left buys no training, MissingPrice for money without a price.
    """
    remaining = _something_left(remaining, "the job's budget")
    account = _something_left(account_remaining or {}, f"account {account_name}")
    price = None if quote.per_accelerator_hour is None else Decimal(quote.per_accelerator_hour)
    accelerators = plan.allocation.accelerators
    own, own_axis = hard_seconds(remaining, accelerators, price, seconds_to_deadline)
    shared, shared_axis = hard_seconds(account, accelerators, price, None)
    available = min(own, shared)
    granted = min(available, MAX_LEASE_SECONDS, inf if seconds_wanted is None else seconds_wanted)
    ends = nested_ends(
        granted,
        grace=grace_seconds(plan),
        checkpoint_seconds=plan.checkpoint_seconds.quantile(WORST_QUANTILE),
        control_period=control_period,
        controller_lag=controller_lag,
        startup_timeout=startup_timeout,
    )
    held = _held(remaining, account, accelerators, price, ends)
    return Lease(
        ends=ends,
        held=held,
        quote=quote,
        flops=float(held[Axis.FLOPS]) if Axis.FLOPS in held else None,
        tokens=_lineage_limit(account, tokens_limit, tokens_done),
        lands=granted == available or available == inf,
        binding=_binding(plan, granted, own, own_axis, shared, shared_axis, account_name),
    )


def _something_left(remaining: Amounts, whose: str) -> Amounts:
    """The same in the units of the API, rounded down; raises InsufficientBudget where an axis is used up."""
    left = {axis: round_down(axis, amount) for axis, amount in remaining.items()}
    for axis, amount in left.items():
        if not amount:
            raise InsufficientBudget(f"{whose} has no {axis} left: raise limits.{axis}")
    return left


def _held(remaining: Amounts, account: Amounts, accelerators: int, price: Decimal | None, ends: NestedEnds) -> Amounts:
    """Rent for the whole of `hard`, rounded up; of FLOPs and tokens all that is left: the trainer stops itself inside it."""
    rent = {Axis.ACCELERATOR_HOURS: accelerator_hours(accelerators, ends.hard)}
    if price is not None:
        rent[Axis.COST] = money(ticks(price, accelerators, ends.hard))
    left = {axis: min(side[axis] for side in (remaining, account) if axis in side) for axis in {**remaining, **account}}
    return {axis: rent.get(axis, amount) for axis, amount in left.items()}


def _lineage_limit(account: Amounts, tokens_limit: int | None, tokens_done: int) -> int | None:
    limits = [tokens_limit] if tokens_limit is not None else []
    if Axis.TOKENS in account:
        limits.append(tokens_done + int(account[Axis.TOKENS]))
    return min(limits, default=None)


def _binding(
    plan: Plan, granted: float, own: float, own_axis: str, shared: float, shared_axis: str, account_name: str | None
) -> str:
    """The axis that ends the lease first; where time does not, the plan says which one does."""
    if granted == own:
        return own_axis
    if granted == shared:
        return f"account {account_name}: {shared_axis}"
    return plan.binding if min(own, shared) == inf else WANTED
