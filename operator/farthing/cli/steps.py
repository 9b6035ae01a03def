"""Progress of long steps: a moving line on a terminal, plain lines with the seconds elsewhere. Always on stderr."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from farthing.cli.output import words
from farthing.units import format_duration


class Steps:
    """Call it with a sentence when a step begins; the step before it is then done. Use it as a context manager.

    A sentence that begins as the last one did, up to a colon, tells of the same step: `building server: 300 packages`.
    `total` is the number of steps where it is known; None shows a bar without an end.
    """

    def __init__(self, total: int | None = None) -> None:
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(),
            TimeElapsedColumn(), console=words, transient=True, disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self._task = self._bar.add_task("", total=total)
        self._step: str | None = None
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._finish("✗" if error else "✓")
        self._bar.stop()

    def __call__(self, sentence: str) -> None:
        """Say what is being done from now on."""
        if not (self._step and ":" in sentence and sentence.split(":")[0] == self._step.split(":")[0]):
            self._finish("✓")
            self._began = time.monotonic()
            if self._bar.disable:
                words.print(f"· {sentence}", markup=False)
        self._step = sentence
        self._bar.update(self._task, description=sentence)

    def _finish(self, mark: str) -> None:
        if self._step is None:
            return
        spent = format_duration(time.monotonic() - self._began)
        words.print(f"{mark} {self._step} ({spent})", markup=False)
        self._step = None
        self._bar.advance(self._task)
