"""Wake-ups: what changed since the last cycle, gathered until it is worth a cycle.

A cycle looks at everything, so a wake-up carries no state: losing one costs time, never correctness. Many events in a row
become one cycle: the first opens a window that later ones stretch, up to a bound.
"""

import asyncio
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from farthing.clock import Clock

FIRST_BACKOFF_SECONDS: Final = 0.5
LAST_BACKOFF_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: quiet time that ends a burst, longest wait within one, longest time between two cycles."""

    debounce: float = 0.1
    longest_burst: float = 1.0
    period: float = 5.0


class WakeUps:
    """Deduplicated keys and the moment at which the next cycle is due. Pure but for the clock it is given."""

    def __init__(self, clock: Clock, pace: Pace, jitter: random.Random | None = None) -> None:
        self._clock = clock
        self._pace = pace
        self._jitter = jitter or random.Random()
        self._keys: set[str] = set()
        self._first: datetime | None = None
        self._last: datetime | None = None
        self._taken = clock.now()
        self._failures = 0
        self._not_before: datetime | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def wake(self, key: str) -> None:
        """Something about `key` changed."""
        now = self._clock.now()
        self._keys.add(key)
        self._first = self._first or now
        self._last = now

    def due(self) -> datetime:
        """When the next cycle is due: after the burst, after the period, and not before the back-off's end."""
        at = self._taken + timedelta(seconds=self._pace.period)
        if self._first is not None and self._last is not None:
            quiet = self._last + timedelta(seconds=self._pace.debounce)
            at = min(at, quiet, self._first + timedelta(seconds=self._pace.longest_burst))
        return max(at, self._not_before) if self._not_before else at

    def wait_seconds(self) -> float:
        """Seconds from now until the next cycle is due; 0 when it is."""
        return max(0.0, (self.due() - self._clock.now()).total_seconds())

    def take(self) -> frozenset[str]:
        """The keys since the last time, and a new beginning."""
        keys = frozenset(self._keys)
        self._keys.clear()
        self._first = self._last = None
        self._taken = self._clock.now()
        return keys

    def failed(self) -> float:
        """The cycle failed: back off, doubled each time, with jitter. Seconds until the next one."""
        self._failures += 1
        bound = min(LAST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(self._failures - 1, 10))
        seconds = self._jitter.uniform(bound / 2, bound)
        self._not_before = self._clock.now() + timedelta(seconds=seconds)
        return seconds

    def succeeded(self) -> None:
        """The cycle went through: no back-off any more."""
        self._failures = 0
        self._not_before = None


class Doorbell:
    """Wake-ups for one waiting task: it sleeps until the next cycle is due, and looks again whenever somebody rings."""

    def __init__(self, wake_ups: WakeUps) -> None:
        self.wake_ups = wake_ups
        self._rung = asyncio.Event()

    def ring(self, key: str) -> None:
        """From the event loop's thread: something about `key` changed."""
        self.wake_ups.wake(key)
        self._rung.set()

    async def next(self) -> frozenset[str]:
        """Wait until a cycle is due; the keys that asked for it (none: its period was over)."""
        while (seconds := self.wake_ups.wait_seconds()) > 0:
            self._rung.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._rung.wait()
            except TimeoutError:
                continue
        return self.wake_ups.take()
