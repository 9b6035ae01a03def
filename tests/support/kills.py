"""A failure process on real training runs: kill a rank when its time has come, start the next attempt at once, watch."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM

from tests.support.ettr import Attempt, Sample, young
from tests.support.trainer import Run, next_attempt

from farthing.contract.progress import Progress
from farthing.contract.runconfig import RunConfig

PATIENCE_SECONDS = 300.0
"""An attempt that makes no progress for this long fails the run."""

Start = Callable[[Path, RunConfig], AbstractContextManager[Run]]


@dataclass(frozen=True)
class End:
    """How an attempt ends: `after` seconds of training its rank is killed; `rank` None: all are asked to stop.

    `phase`: not before the next save and this share of the interval after it, so that few kills can stand for many.
    """

    after: float
    rank: int | None
    phase: float | None = None


class Watch:
    """One attempt from its start to its end, seen through its port."""

    def __init__(self, run: Run, began: float, poll_seconds: float) -> None:
        self.run = run
        self.attempt = Attempt(began)
        self._poll_seconds = poll_seconds
        self._heard = began

    def until_it_trains(self) -> None:
        """Return once the start is over."""
        while self.look() is None:
            time.sleep(self._poll_seconds)

    def until(self, moment: Callable[[], bool]) -> None:
        """Look on until the moment has come."""
        while not moment():
            time.sleep(self._poll_seconds)
            self.look()

    def look(self) -> Progress | None:
        """One look; None while the run starts."""
        assert self.run.ended() is None, f"the run left with {self.run.ended()}\n{self.run.log}"
        assert time.monotonic() - self._heard < PATIENCE_SECONDS, f"nothing moves\n{self.run.log}"
        progress = self.run.progress()
        if progress is None or progress.first_step is None:
            return None
        return self.note(progress)

    def note(self, progress: Progress) -> Progress:
        """Take down what the port said."""
        seen, now = self.attempt, time.monotonic()
        if not seen.samples or seen.samples[-1].step < progress.step:
            self._heard = now
        seen.resumed_from, seen.startup = progress.resumed_from or 0, progress.seconds.startup
        seen.samples.append(Sample.of(progress, now))
        seen.saves.update((made.step, made.seconds) for made in progress.checkpoints)
        return progress

    @property
    def training(self) -> float:
        """Seconds that it has trained for."""
        return time.monotonic() - self.attempt.began - self.attempt.startup

    @property
    def newest(self) -> int:
        """The step of its newest save; 0 before the first."""
        return max(self.attempt.saves, default=0)

    def into_interval(self, between_kills: float) -> float:
        """The share of Young's interval that has passed since the newest save."""
        saved_at = next(sample.at for sample in self.attempt.samples if sample.saved_step == self.newest)
        return (time.monotonic() - saved_at) / young(self.attempt.saves[self.newest], between_kills)

    def end(self, end: End) -> Attempt:
        """Send the signal and wait until all of it has left."""
        seen = self.attempt
        pids = self.run.pids()
        seen.end_sent, seen.killed_rank = time.monotonic(), end.rank
        for pid in pids if end.rank is None else [pids[end.rank]]:
            os.kill(pid, SIGTERM if end.rank is None else SIGKILL)
        codes = self.run.wait()
        seen.ended = time.monotonic()
        if end.rank is None:
            assert set(codes) == {143}, self.run.log
            last = self.run.last_word().progress
            assert last is not None
            self.note(last)
        return seen


def live(start: Start, home: Path, config: RunConfig, ends: Iterator[End], poll_seconds: float) -> list[Attempt]:
    """Attempt after attempt, each started at once; the next of `ends` is drawn when one begins to train."""
    attempts: list[Attempt] = []
    end = End(0.0, rank=0)
    while end.rank is not None:
        began = time.monotonic()
        with start(home, config) as run:
            watch = Watch(run, began, poll_seconds)
            watch.until_it_trains()
            end = next(ends)
            attempts.append(_ended(watch, end, config.checkpoint.mean_time_between_failures_seconds))
        config = next_attempt(config)
    return attempts


def _ended(watch: Watch, end: End, between_kills: float) -> Attempt:
    watch.until(lambda: watch.training >= end.after)
    if end.phase is not None:
        before = watch.newest
        watch.until(lambda: watch.newest > before)
        watch.until(lambda: watch.into_interval(between_kills) >= (end.phase or 0.0))
    return watch.end(end)
