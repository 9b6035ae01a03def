"""Faults on purpose: the operator dies right before or right after its k-th write."""

from dataclasses import dataclass
from typing import Literal


class OperatorDied(Exception):
    """The process is gone: nobody catches this but the test that injected it. No FarthingError on purpose."""


@dataclass(frozen=True, slots=True)
class Crash:
    """Die at write number `at` (1 is the first), before it reached the server or after it did."""

    at: int
    when: Literal["before", "after"]


class Writes:
    """Counts the writes of an operator, and ends it where it is told to."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.crash: Crash | None = None

    @property
    def count(self) -> int:
        """Writes so far; one that was cut off before it happened counts too."""
        return len(self.log)

    def before(self, what: str) -> None:
        """A write is about to happen. Raises OperatorDied where the crash is due."""
        self.log.append(what)
        if self.crash == Crash(self.count, "before"):
            raise OperatorDied(what)

    def after(self) -> None:
        """The write happened. Raises OperatorDied where the crash is due."""
        if self.crash == Crash(self.count, "after"):
            raise OperatorDied(self.log[-1])
