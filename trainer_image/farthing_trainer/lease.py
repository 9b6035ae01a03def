"""The trainer's ends: what is left to each of them in seconds, FLOPs, tokens and steps. The earliest member of an end binds.

Pure but for the two clocks, which come in as `elapsed` (seconds since the supervisor's start) and `unix` (the wall clock).
"""

import math
from dataclasses import dataclass
from datetime import datetime

from farthing.contract.handshake import LeaseUpdate
from farthing.contract.runconfig import End, LeaseConfig

UNBOUND = math.inf


@dataclass(frozen=True, slots=True)
class Spent:
    """Where the run stands: seconds since the supervisor's start, wall clock, FLOPs of this attempt, tokens of the lineage."""

    elapsed: float
    unix: float
    flops: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Price:
    """What one more step takes: seconds at the slow end of the measured speed, FLOPs, tokens."""

    seconds: float
    flops: float
    tokens: int


def seconds_left(end: End, spent: Spent) -> float:
    """Seconds until `end` on the clock axes; infinite where none binds."""
    left = UNBOUND if end.seconds is None else end.seconds - spent.elapsed
    if end.not_after is not None:
        left = min(left, datetime.fromisoformat(end.not_after.replace("Z", "+00:00")).timestamp() - spent.unix)
    return left


def steps_left(end: End, spent: Spent, price: Price, reserve_seconds: float, reserve_flops: float) -> float:
    """Whole steps that fit before `end`, after the reserve for what follows the last step; infinite where nothing binds."""
    axes = (
        (seconds_left(end, spent) - reserve_seconds) / price.seconds if price.seconds > 0 else UNBOUND,
        UNBOUND if end.flops is None else (end.flops - spent.flops - reserve_flops) / price.flops,
        UNBOUND if end.tokens is None else (end.tokens - spent.tokens) / price.tokens,
    )
    fewest = min(axes)
    return fewest if math.isinf(fewest) else max(0.0, math.floor(fewest + 1e-9))


def only_tokens_bind(end: End) -> bool:
    """Whether the end is a token limit alone, so that the landing is known before the first step."""
    return end.tokens is not None and end.seconds is None and end.not_after is None and end.flops is None


@dataclass
class Lease:
    """The ends in force. A move never reaches past the supervisor's end."""

    trainer_end: End
    supervisor_end: End
    budget_end: End

    @classmethod
    def from_config(cls, config: LeaseConfig) -> "Lease":
        """The ends as the run config grants them."""
        return cls(_within(config.trainer_end, config.supervisor_end), config.supervisor_end, config.budget_end)

    def move(self, update: LeaseUpdate) -> None:
        """Take over the ends that the update names."""
        if update.trainer_end is not None:
            self.trainer_end = _within(update.trainer_end, self.supervisor_end)
        if update.budget_end is not None:
            self.budget_end = update.budget_end


def _within(end: End, outer: End) -> End:
    """`end`, with its clock axes cut to those of `outer`."""
    seconds = [value for value in (end.seconds, outer.seconds) if value is not None]
    moments = [value for value in (end.not_after, outer.not_after) if value is not None]
    earliest = min(moments, key=lambda text: datetime.fromisoformat(text.replace("Z", "+00:00")), default=None)
    return end.model_copy(update={"seconds": min(seconds, default=None), "not_after": earliest})
