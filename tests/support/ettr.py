"""Effective training time under kills: what was lived through, what it came to, and what Young and Daly allow.

The **effective training time ratio** (ETTR) of a run is the step time of its surviving steps over its wall time. A step
survives where no later attempt made it again; wall time goes from the start of the first attempt to the end of the last.

What periodic checkpoints **allow**: kills come as a Poisson process of training time with mean M. A stretch of τ of steps and
its save of δ then takes M·(e^((τ+δ)/M) − 1) of training time on average (Daly, Future Generation Computer Systems 22, 2006,
after Young, Communications of the ACM 17, 1974). The τ that makes τ over that largest solves τ = M·(1 − e^(−(τ+δ)/M)); Young's
√(2δM) is its first term. Kills do not come while a run starts, and each start takes R: in T of training with K kills, so with
K + 1 starts, the share T / (T + (K+1)·R) of the wall time is training at best. The optimum is the product of both shares, with
δ, R and M = T / K as this very run measured them, so it allows neither for dying nor for anything between the steps.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from farthing.contract.progress import Progress


def young(save: float, between_kills: float) -> float:
    """Young's interval between saves, in seconds."""
    return math.sqrt(2 * save * between_kills)


def best_interval(save: float, between_kills: float) -> float:
    """The interval that loses least, exactly: the root of τ = M·(1 − e^(−(τ+δ)/M)), by bisection."""
    low, high = 0.0, between_kills
    for _ in range(100):
        middle = (low + high) / 2
        if between_kills * -math.expm1(-(middle + save) / between_kills) > middle:
            low = middle
        else:
            high = middle
    return low


def share_that_survives(interval: float, save: float, between_kills: float) -> float:
    """The share of training time that surviving steps get, on average, with a save after every `interval` seconds of steps."""
    return interval / (between_kills * math.expm1((interval + save) / between_kills))


def best_share(save: float, between_kills: float) -> float:
    """The same at the best interval."""
    return share_that_survives(best_interval(save, between_kills), save, between_kills)


@dataclass(frozen=True, slots=True)
class Sample:
    """What the trainer's port said at one moment; times are seconds of the monotonic clock, durations seconds."""

    at: float
    step: int
    stepping: float
    saving: float
    saved_step: int

    @classmethod
    def of(cls, progress: Progress, at: float) -> "Sample":
        """From `GET /progress`."""
        spent, durable = progress.seconds, progress.checkpoint
        saved = 0 if durable is None else durable.step
        return cls(at, progress.step, spent.train + spent.replay, spent.checkpoint, saved)


@dataclass
class Attempt:
    """One attempt as its driver saw it. `resumed_from` is the step of the checkpoint it began with; 0 for none."""

    began: float
    resumed_from: int = 0
    startup: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    end_sent: float = 0.0
    ended: float = 0.0
    killed_rank: int | None = None
    """None: it was asked to stop."""
    saves: dict[int, float] = field(default_factory=dict)
    """Seconds of every save seen, by step."""

    @property
    def trained(self) -> float:
        """Seconds from the end of its start to the kill; one that was asked to stop trained and saved until it left."""
        over = self.ended if self.killed_rank is None else self.end_sent
        return over - self.began - self.startup

    @property
    def stepping(self) -> float:
        """Seconds that its steps took, survivors or not."""
        return self.samples[-1].stepping if self.samples else 0.0

    @property
    def saving(self) -> float:
        """Seconds that its saves took."""
        return self.samples[-1].saving if self.samples else 0.0

    def stepping_until(self, step: int) -> float:
        """Seconds that its steps up to `step` took, between two samples in proportion."""
        steps = [self.resumed_from, *(sample.step for sample in self.samples)]
        return float(np.interp(step, steps, [0.0, *(sample.stepping for sample in self.samples)]))

    @property
    def longest_between_samples(self) -> float:
        """At least the time of its longest step."""
        seconds = [0.0, *(sample.stepping for sample in self.samples)]
        return max(np.diff(seconds), default=0.0)


@dataclass(frozen=True, slots=True)
class Account:
    """Where a run's wall time went, in seconds, and what was possible."""

    attempts: int
    kills: int
    wall: float
    trained: float
    surviving_steps: float
    lost_steps: float
    saving: float
    starting: float
    saves: int
    lost_by_kill: tuple[float, ...]

    @property
    def other(self) -> float:
        """Dying, the driver's reaction, the processes' own start, and what lies between the steps."""
        return self.wall - self.surviving_steps - self.lost_steps - self.saving - self.starting

    @property
    def save(self) -> float:
        """Mean seconds of a save."""
        return self.saving / self.saves

    @property
    def start(self) -> float:
        """Mean seconds of a start."""
        return self.starting / self.attempts

    @property
    def between_kills(self) -> float:
        """Mean training time between kills, the last attempt's included (it is a censored one)."""
        return self.trained / self.kills

    @property
    def ettr(self) -> float:
        """Effective training time ratio."""
        return self.surviving_steps / self.wall

    @property
    def allowed(self) -> float:
        """The same at the optimum."""
        return best_share(self.save, self.between_kills) * self.trained / (self.trained + self.starting)

    @property
    def of_the_optimum(self) -> float:
        """How much of what is possible was reached."""
        return self.ettr / self.allowed


def account(attempts: Sequence[Attempt]) -> Account:
    """Add a run up. The last attempt was asked to stop, so all of its steps survive."""
    resumed = [later.resumed_from for later in attempts[1:]]
    surviving = [each.stepping_until(step) for each, step in zip(attempts, resumed, strict=False)]
    lost = [each.stepping - kept for each, kept in zip(attempts, surviving, strict=False)]
    return Account(
        attempts=len(attempts),
        kills=sum(each.killed_rank is not None for each in attempts),
        wall=attempts[-1].ended - attempts[0].began,
        trained=sum(each.trained for each in attempts),
        surviving_steps=sum(surviving) + attempts[-1].stepping,
        lost_steps=sum(lost),
        saving=sum(each.saving for each in attempts),
        starting=sum(each.startup for each in attempts),
        saves=sum(len(each.saves) for each in attempts),
        lost_by_kill=tuple(lost),
    )
