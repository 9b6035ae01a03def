"""Rank 0's judgement, once a step: is a checkpoint due, does the lease end, where does the landing lie. No torch.

Its clock alone decides; the others hear of it through the step's agreement.
"""

import math
import time
from dataclasses import dataclass

from farthing.contract.checkpoint import Landing
from farthing.contract.runconfig import End, RunConfig
from farthing_trainer.lease import Lease, Price, Spent, steps_left
from farthing_trainer.place import Started
from farthing_trainer.schedule import decide_landing
from farthing_trainer.speed import Speed

SAFETY = 1.5
"""Measured durations are trusted times this when time is set aside for the end."""
SPARE_SECONDS = 0.5
ASSUMED_WRITE_BYTES_PER_SECOND = 100e6
"""Until the first checkpoint is measured."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What rank 0 wants after this step. `stop` is the reason to leave, empty for none."""

    stop: str = ""
    checkpoint: bool = False
    landing: Landing | None = None


@dataclass
class Durations:
    """Seconds that the last checkpoint, evaluation and output took: measured, assumed before."""

    checkpoint: float
    evaluation: float | None = None

    @property
    def output(self) -> float:
        """Writing the weights: at most what a checkpoint with its optimizer takes, and half a second of file handling."""
        return self.checkpoint + 0.5


class Governor:
    """Measures the speed and says what it means for lease and budget."""

    def __init__(self, config: RunConfig, lease: Lease, started: Started, step_flops: float, state_bytes: int) -> None:
        self._config = config
        self._lease = lease
        self._started = started
        self._step_flops = step_flops
        self.speed = Speed()
        self.durations = Durations(checkpoint=0.5 + state_bytes / ASSUMED_WRITE_BYTES_PER_SECOND)
        self._write_seconds = self.durations.checkpoint
        self._checkpointed_at = time.monotonic()

    def checkpoint_took(self, seconds: float) -> None:
        """A checkpoint was written, or tried."""
        self.durations.checkpoint = self._write_seconds = seconds
        self._checkpointed_at = time.monotonic()

    def resumed_from_one_that_took(self, seconds: float) -> None:
        """An earlier attempt wrote the checkpoint in this time: the interval goes by it, no reserve by less than is assumed."""
        self._write_seconds = seconds
        self.durations.checkpoint = max(self.durations.checkpoint, seconds)
        self._checkpointed_at = time.monotonic()

    @property
    def checkpoint_interval(self) -> float:
        """Seconds between checkpoints: the configured ones, or Young's √(2·C·M) (CACM 1974) of the measured write time C."""
        fixed = self._config.checkpoint.interval_seconds
        mean_time = self._config.checkpoint.mean_time_between_failures_seconds
        return fixed if fixed is not None else math.sqrt(2 * self._write_seconds * mean_time)

    def judge(self, step: int, flops: float, landing: Landing | None) -> Wish:
        """What to do after step `step`, which is being made. `flops`: executed by this attempt, this step included."""
        due = time.monotonic() - self._checkpointed_at >= self.checkpoint_interval
        spent = self._spent_after(step, flops)
        if self._config.on_exhausted == "CheckpointAndStop":
            return Wish(stop=self._ended(spent, landing=False), checkpoint=due)
        reserve = self._landing_reserve(trunk=not _has_begun(landing, step))
        budget = self._left(self._lease.budget_end, spent, reserve)
        soonest = min(budget, self._left(self._lease.trainer_end, spent, reserve))
        peak = self._config.optimizer.learning_rate
        decided = decide_landing(landing, step, budget, soonest, peak, self._config.schedule)
        return Wish(stop=self._ended(spent, landing=_has_begun(decided or landing, step)), checkpoint=due, landing=decided)

    def steps_to_go(self, step: int, flops: float, landing: Landing | None) -> float:
        """Steps until the run is expected to end, as seen now; infinite where nothing bounds it."""
        if landing is not None:
            return max(0, landing.last_step - step)
        spent = self._spent_after(step, flops)
        return self._left(self._lease.budget_end, spent, self._landing_reserve(trunk=True))

    def _ended(self, spent: Spent, *, landing: bool) -> str:
        """Why the run must leave after this step without landing; empty while it may go on, and always in a landing."""
        if landing:
            return ""
        reserve = SAFETY * self.durations.checkpoint + SPARE_SECONDS
        may_land = self._config.on_exhausted == "Land"
        if not may_land and self._left(self._lease.budget_end, spent, reserve) < 1:
            return "BudgetEnded"
        return "LeaseEnded" if self._left(self._lease.trainer_end, spent, reserve) < 1 else ""

    def _spent_after(self, step: int, flops: float) -> Spent:
        ahead = self.speed.mean
        return Spent(
            elapsed=self._started.elapsed() + ahead,
            unix=time.time() + ahead,
            flops=flops,
            tokens=step * self._config.tokens_per_step,
        )

    def _left(self, end: End, spent: Spent, reserve_seconds: float) -> float:
        price = Price(self.speed.slow, self._step_flops, self._config.tokens_per_step)
        return steps_left(end, spent, price, reserve_seconds, self.evaluation_flops)

    @property
    def evaluation_flops(self) -> float:
        """FLOPs of the last evaluation: a forward pass is a third of training."""
        return self._step_flops * self._config.evaluation.sequences / self._config.batch.global_batch / 3

    def _landing_reserve(self, *, trunk: bool) -> float:
        """Seconds for the last checkpoint, evaluation and output, and for the trunk checkpoint where that is still to come."""
        evaluation = self.durations.evaluation
        if evaluation is None:
            evaluation = self.speed.typical * self._config.evaluation.sequences / self._config.batch.global_batch / 2
        checkpoints = (2 if trunk else 1) * self.durations.checkpoint
        return SAFETY * (checkpoints + self.durations.output + evaluation) + SPARE_SECONDS


def _has_begun(landing: Landing | None, step: int) -> bool:
    """Whether the step after `step` belongs to the landing."""
    return landing is not None and step >= landing.first_step - 1
