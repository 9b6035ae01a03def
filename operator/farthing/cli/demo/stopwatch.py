"""How long each stage of the demo took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from farthing.cli.demo.result import StageTime
from farthing.cli.output import words


@dataclass(slots=True)
class Stopwatch:
    """Stages in the order in which they ended, and the seconds since it was made."""

    began: float = field(default_factory=time.monotonic)
    stages: list[StageTime] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return round(time.monotonic() - self.began, 1)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announce a stage and take its time, also where it fails."""
        words.rule(f"[bold]{name}[/]", align="left", style="dim")
        began = time.monotonic()
        try:
            yield
        finally:
            self.stages.append(StageTime(name=name, seconds=round(time.monotonic() - began, 1)))
