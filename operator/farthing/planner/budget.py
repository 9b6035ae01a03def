"""What is left of a budget, in tokens: every limit is turned into the tokens that it buys, and the smallest binds.

Held time is billed, so start-up is paid before the first token; the reserve behind the trainer's end (DESIGN 4) is paid for but
never trained in; checkpoints and expected rework take their share (Young/Daly).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import floor, inf, isinf

from farthing.api.amounts import Axis
from farthing.planner.spot import daly_interval, young_waste
from farthing.units import SECONDS_PER_HOUR

DEADLINE = "deadline"
TIME_AXES = frozenset({Axis.COST.value, Axis.ACCELERATOR_HOURS.value, DEADLINE})
"""Axes that end a run by seconds held; the others end it by work done."""


@dataclass(frozen=True, slots=True)
class Meter:
    """How fast a plan uses each axis. Seconds, FLOPs as executed, price of the whole gang."""

    step_seconds: float
    startup_seconds: float
    reserve_seconds: float
    checkpoint_seconds: float
    waste: float
    """Share of training time that goes to checkpoints and to work done again."""
    tokens_per_step: int
    flops_per_token: float
    accelerators: int
    price_per_hour: float | None

    @property
    def fixed_seconds(self) -> float:
        """Held, but not trained in: start-up and the reserve, which covers at least the last save."""
        return self.startup_seconds + max(self.reserve_seconds, self.checkpoint_seconds)

    @property
    def seconds_per_step(self) -> float:
        """A step with its share of checkpoints and rework."""
        return self.step_seconds * (1.0 + self.waste)


@dataclass(frozen=True, slots=True)
class Purchase:
    """What the budget buys: whole steps until the landing ends, the axis that ends them, and what they use."""

    steps: int
    tokens: int
    exact_tokens: float
    """Before rounding down to whole steps; for differences."""
    seconds: float
    """Held in all, start-up and the last save included, the unused reserve not."""
    flops: float
    cost: float | None
    binding: str


def checkpoint_waste(checkpoint_seconds: float, mean_time_between_failures: float) -> float:
    """Share of training time lost to saves and to work done again, at the best interval between saves; seconds in.

    Raises InvalidSpec where the seconds of a save are no finite number of at least 0.
    """
    if isinf(mean_time_between_failures) or checkpoint_seconds == 0.0:
        return 0.0
    interval = daly_interval(checkpoint_seconds, mean_time_between_failures)
    return young_waste(checkpoint_seconds, interval, mean_time_between_failures)


def purchase(meter: Meter, remaining: Mapping[Axis, Decimal], seconds_left: float | None) -> Purchase:
    """What `remaining` (and the deadline) buys. Raises ValueError when nothing is limited: no run without an end."""
    bought = tokens_by_limit(meter, remaining, seconds_left)
    if not bought:
        raise ValueError("remaining: at least one limited axis or a deadline is needed, else the run has no end")
    binding = min(bought, key=lambda axis: bought[axis])
    exact = max(0.0, bought[binding])
    if isinf(exact):
        raise ValueError("remaining: only money is limited, and a pool that costs nothing never uses it up")
    steps = floor(exact / meter.tokens_per_step)
    tokens = steps * meter.tokens_per_step
    seconds = meter.startup_seconds + steps * meter.seconds_per_step + meter.checkpoint_seconds
    cost = None if meter.price_per_hour is None else seconds / SECONDS_PER_HOUR * meter.price_per_hour
    return Purchase(steps, tokens, exact, seconds, tokens * meter.flops_per_token, cost, binding)


def tokens_by_limit(meter: Meter, remaining: Mapping[Axis, Decimal], seconds_left: float | None) -> dict[str, float]:
    """Tokens that each limited axis alone would buy; negative where it does not even pay for the start.

    Raises ValueError when cost is limited and the plan has no price.
    """
    seconds = seconds_by_limit(meter, remaining, seconds_left)
    rate = meter.tokens_per_step / meter.seconds_per_step
    bought = {axis: (available - meter.fixed_seconds) * rate for axis, available in seconds.items()}
    if Axis.FLOPS in remaining:
        bought[Axis.FLOPS.value] = float(remaining[Axis.FLOPS]) / meter.flops_per_token
    if Axis.TOKENS in remaining:
        bought[Axis.TOKENS.value] = float(remaining[Axis.TOKENS])
    return bought


def seconds_by_limit(meter: Meter, remaining: Mapping[Axis, Decimal], seconds_left: float | None) -> dict[str, float]:
    """Seconds that each limited time axis lets the gang be held; a gang that costs nothing is never ended by money.

    Raises ValueError as `tokens_by_limit` does.
    """
    seconds = {}
    if Axis.COST in remaining:
        if meter.price_per_hour is None:
            raise ValueError("cost is limited, and the pool has no price")
        money = float(remaining[Axis.COST])
        seconds[Axis.COST.value] = money / meter.price_per_hour * SECONDS_PER_HOUR if meter.price_per_hour else inf
    if Axis.ACCELERATOR_HOURS in remaining:
        hours = float(remaining[Axis.ACCELERATOR_HOURS]) / meter.accelerators
        seconds[Axis.ACCELERATOR_HOURS.value] = hours * SECONDS_PER_HOUR
    if seconds_left is not None:
        seconds[DEADLINE] = seconds_left
    return seconds
