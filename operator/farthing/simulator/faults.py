"""Faults on purpose: the operator dies at its k-th write, somebody else writes first, its clock is wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from farthing.clock import Clock


class OperatorDied(Exception):
    """The process is gone: nobody catches this but the test that injected it. No FarthingError on purpose."""


@dataclass(frozen=True, slots=True)
class Crash:
    """Die at write number `at` (1 is the first), before it reached the server or after it did."""

    at: int
    when: Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What others do right before write number `at` reaches the server: between this operator's look and its write."""

    at: int
    act: Callable[[], None]


class WrongClock:
    """An operator's own clock: the true one, off by `offset`."""

    def __init__(self, true: Clock) -> None:
        self._true = true
        self.offset = timedelta()

    def now(self) -> datetime:
        """The time as this operator believes it."""
        return self._true.now() + self.offset

    def step(self, seconds: float) -> None:
        """Somebody sets the clock; negative: back."""
        self.offset += timedelta(seconds=seconds)


class Writes:
    """Counts the writes of an operator, and ends it where it is told to."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.crash: Crash | None = None
        self.meanwhile: Meanwhile | None = None

    @property
    def count(self) -> int:
        """Writes so far; one that was cut off before it happened counts too."""
        return len(self.log)

    def before(self, what: str) -> None:
        """A write is about to happen. Raises OperatorDied where the crash is due."""
        self.log.append(what)
        if self.crash == Crash(self.count, "before"):
            raise OperatorDied(what)
        if self.meanwhile is not None and self.meanwhile.at == self.count:
            self.meanwhile.act()

    def after(self) -> None:
        """The write happened. Raises OperatorDied where the crash is due."""
        if self.crash == Crash(self.count, "after"):
            raise OperatorDied(self.log[-1])
