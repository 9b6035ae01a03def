"""A rank's promise to its supervisor: by when it will be heard of again. Standard library only, shared by both sides.

A rank that hangs, or that waits in a collective for one that does, cannot say so; it breaks its promise. Promises are given
for the steps of training alone: import, compilation, checkpoint, evaluation and preparation take the time they take.
"""

import math
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

ENV_PULSE = "FARTHING_PULSE"
"""Number of the file descriptor that a rank inherits from its supervisor; absent where there is none."""
FLOOR_SECONDS = 30.0
"""No step is called hung before this, however short steps are."""
SLOW_STEPS = 10.0
"""A step may take this many times as long as a slow one was measured to take."""
UNWATCHED_STEPS = 3
"""The first steps of an attempt compile and fill caches."""
CONFIRM_SECONDS = 5.0
"""A broken promise counts only after the supervisor itself was awake for this long: the whole pod may have been frozen."""

_MESSAGE = struct.Struct("=dq")
"""The moment on the machine's monotonic clock, and the step that is being made."""


class Measured(Protocol):
    """The speed of an attempt."""

    @property
    def steps(self) -> int:
        """How many of its steps were measured."""

    @property
    def slow(self) -> float:
        """Seconds that a slow one took."""


def allowance(speed: Measured) -> float:
    """Seconds that the next step may take before its rank counts as hung; infinite for the first steps of an attempt."""
    return math.inf if speed.steps < UNWATCHED_STEPS else max(FLOOR_SECONDS, SLOW_STEPS * speed.slow)


class Pulse:
    """The rank's side. Without a supervisor (a shell, torchrun) nothing is promised to anybody."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    @classmethod
    def from_environment(cls) -> "Pulse":
        """The descriptor that the supervisor handed down; processes that this one starts do not get it."""
        text = os.environ.get(ENV_PULSE)
        if text is None:
            return cls(None)
        os.set_inheritable(int(text), False)
        return cls(int(text))

    @contextmanager
    def over_a_step(self, step: int, speed: Measured) -> Iterator[None]:
        """Within it something will be heard in time; what comes after it takes the time it takes. A step that fails keeps
        its promise open: the process has to leave.
        """
        self._promise(step, allowance(speed))
        yield
        self._promise(step, math.inf)

    def _promise(self, step: int, seconds: float) -> None:
        if self._descriptor is not None:
            os.pwrite(self._descriptor, _MESSAGE.pack(time.monotonic() + seconds, step), 0)


class Listener:
    """The supervisor's side, for one rank: memory that both share."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("pulse")
        self._said = b""
        self._silent = 0.0

    def hangs_in(self, awake: float) -> int | None:
        """The step whose promise is broken for good, else None. `awake`: seconds that the supervisor ran since it last asked.

        A promise that was just renewed is looked at again before it counts as broken.
        """
        said = os.pread(self.descriptor, _MESSAGE.size, 0)
        if len(said) < _MESSAGE.size:
            return None
        until, step = _MESSAGE.unpack(said)
        broken = said == self._said and time.monotonic() > until
        self._silent = self._silent + awake if broken else 0.0
        self._said = said
        return int(step) if self._silent >= CONFIRM_SECONDS else None

    def close(self) -> None:
        """Forget the rank."""
        os.close(self.descriptor)
