"""Processes of this program, forked from one that has imported torch already.

`multiprocessing` looks at every child whenever it starts one, and how a forked child left can be read only once: of two threads
that read at the same time, one is told 255. Here one thread at a time starts or looks.
"""

import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["farthing_trainer.run", "peft"])
_ONE_AT_A_TIME = threading.Lock()


class Forked:
    """One process that calls `target` with `args`, both picklable; it has started when this returns."""

    def __init__(self, target: Callable[..., object], *args: Any) -> None:
        self._process = _CONTEXT.Process(target=target, args=args)
        with _ONE_AT_A_TIME:
            self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Negative after a signal; None while it runs."""
        with _ONE_AT_A_TIME:
            return self._process.exitcode

    def wait(self, seconds: float) -> int | None:
        """Its exit code, or None where it still runs after `seconds`."""
        wait([self._process.sentinel], seconds)
        return self.exit_code

    def end(self) -> None:
        """Kill it where it still runs, and forget it."""
        with _ONE_AT_A_TIME:
            self._process.kill()
        wait([self._process.sentinel])
        with _ONE_AT_A_TIME:
            self._process.join()
            self._process.close()
