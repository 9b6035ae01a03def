"""How long the phases of a cycle take."""

from farthing.clock import Clock


class Stopwatch:
    """Seconds by phase, on the clock that it is given."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = self._last = clock.now()
        self.laps: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        """The phase ends here."""
        now = self._clock.now()
        self.laps[phase] = (now - self._last).total_seconds()
        self._last = now

    @property
    def total(self) -> float:
        """Seconds from the start to the last lap."""
        return (self._last - self._start).total_seconds()
