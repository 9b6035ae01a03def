"""How fast steps go: the expected time of one, and the slow end that promises are made with. No torch."""

import statistics
from collections import deque

WINDOW_STEPS = 256
BLOCK_STEPS = 8
"""Steps are averaged in blocks: a sum of many steps varies less than one step does."""
SLOW_QUANTILE = 0.9
"""p10 of the speed is p90 of the time (DESIGN 6)."""


class Speed:
    """Durations of the last steps in seconds. The first step, which also warms caches up, counts only while it is alone."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=WINDOW_STEPS)
        self._first: float | None = None

    def add(self, seconds: float) -> None:
        """One more step took this long."""
        if self._first is None:
            self._first = seconds
        else:
            self._seconds.append(seconds)

    @property
    def known(self) -> bool:
        """Whether any step was measured."""
        return self._first is not None

    @property
    def steps(self) -> int:
        """How many steps were measured, at most WINDOW_STEPS and the first."""
        return len(self._seconds) + (self._first is not None)

    @property
    def typical(self) -> float:
        """Median seconds a step; 0 while nothing is known."""
        return statistics.median(self._seconds) if self._seconds else self._first or 0.0

    @property
    def mean(self) -> float:
        """Mean seconds over the last block; 0 while nothing is known."""
        recent = list(self._seconds)[-BLOCK_STEPS:]
        return statistics.fmean(recent) if recent else self._first or 0.0

    @property
    def slow(self) -> float:
        """Seconds a step at the slow end: p90 over blocks, the worst step while there are few; 0 while nothing is known."""
        seconds = list(self._seconds)
        if len(seconds) < 2 * BLOCK_STEPS:
            return max(seconds, default=self._first or 0.0)
        blocks = [statistics.fmean(seconds[i : i + BLOCK_STEPS]) for i in range(0, len(seconds) - BLOCK_STEPS + 1, BLOCK_STEPS)]
        return sorted(blocks)[min(len(blocks) - 1, int(SLOW_QUANTILE * len(blocks)))]
