"""Turns the engine's cycle while this operator leads: one at a time, soon after something changed, and every period anyway."""

import logging
import time
from collections.abc import Awaitable, Callable

from farthing.controller.queue import Doorbell
from farthing.errors import FarthingError
from farthing.telemetry.metrics import OperatorMetrics

log = logging.getLogger(__name__)


class Loop:
    """`turn` is one cycle; `leading` says whether it may run."""

    def __init__(
        self,
        turn: Callable[[], Awaitable[None]],
        leading: Callable[[], bool],
        doorbell: Doorbell,
        metrics: OperatorMetrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._turn = turn
        self._leading = leading
        self._doorbell = doorbell
        self._metrics = metrics
        self._monotonic = monotonic
        self._finished: float | None = None

    @property
    def age(self) -> float | None:
        """Seconds since the last cycle finished or leadership began; None in an operator that stands by."""
        return None if self._finished is None else self._monotonic() - self._finished

    async def run(self) -> None:
        """Until cancelled. An error that Farthing knows ends the cycle and backs off; any other is a bug and ends the process,
        which is restarted over the same state of the cluster."""
        while True:
            keys = await self._doorbell.next()
            if not self._leading():
                self._finished = None
                continue
            self._finished = self._monotonic() if self._finished is None else self._finished
            log.debug("cycle for %s", ", ".join(sorted(keys)) or "its period")
            await self._once()

    async def _once(self) -> None:
        wake_ups = self._doorbell.wake_ups
        try:
            await self._turn()
        except FarthingError as error:
            self._metrics.failure(error)
            delay = wake_ups.failed()
            log.warning("cycle failed, next in %.1f s: %s: %s", delay, type(error).__name__, error)
        else:
            wake_ups.succeeded()
            self._finished = self._monotonic()
