"""SIGTERM and SIGINT: the first thing that stands in a process, before anything slow is imported.

While the run starts, a signal ends the process at once with 75: nothing has been done that could be lost. Once the gang
stands it only raises a flag, which rides on the step's collective so that all ranks stop after the same step. In a stage
whose finished parts are durable it ends the stage where that stands, by Leave.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from farthing.contract.exit_codes import ExitCode
from farthing_trainer.errors import Leave

_POLL_SECONDS = 0.05


class Termination:
    """Whether the end was asked for. A plain attribute: a lock taken in a signal handler could deadlock."""

    def __init__(self) -> None:
        self.requested = False
        self.requested_at = 0.0
        self._starting = True
        self._raises = ""
        self._before_leaving: Callable[[], None] = lambda: None

    def install(self) -> "Termination":
        """Install the handler; returns itself."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        return self

    def on_early_exit(self, say_last_word: Callable[[], None]) -> None:
        """What to call before leaving with 75 while still starting."""
        self._before_leaving = say_last_word

    def stands(self) -> None:
        """From now on a signal is a request that the step's collective carries."""
        self._starting = False

    @contextmanager
    def ending_the_stage(self, kept: str) -> Iterator[None]:
        """Within it a signal raises Leave (143) in the main thread, once. `kept` says why nothing is lost by that."""
        self._starting, self._raises = False, kept
        try:
            yield
        finally:
            self._raises = ""

    def wait(self, seconds: float) -> None:
        """Return when the end is asked for, or after `seconds`."""
        deadline = time.monotonic() + seconds
        while not self.requested and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if not self.requested:
            self.requested_at = time.monotonic()
        self.requested = True
        if self._starting:
            self._before_leaving()
            os._exit(ExitCode.TRY_AGAIN)
        kept, self._raises = self._raises, ""
        if kept:
            raise Leave(ExitCode.STOPPED, "Terminated", kept)
