"""Where the demo plays: names, folders, and the bounds that its outcome is held against."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

SYSTEM_NAMESPACE: Final = "farthing-system"
RELEASE: Final = "farthing"
NAMESPACE: Final = "farthing-demo"

PATIENT: Final = "stdlib-lm"
"""The job that is interrupted: examples/stdlib-lm.yaml."""
URGENT: Final = "urgent"
"""The job that interrupts it: examples/urgent.yaml."""

CHECKPOINTS_FIRST: Final = 2
"""Durable checkpoints of the first job before the second one is submitted."""

LOSS_BOUND: Final = 6.0
"""Nats a token. Guessing among 1,024 tokens costs ln 1024 = 6.93; two idle cores reached 3.0, busy ones 4.2."""

PROMPT: Final = "def main():\n"


@dataclass(frozen=True, slots=True)
class Setting:
    """Folders of one performance: the checkout's examples and chart, and where everything is written."""

    root: Path
    """The checkout."""
    out: Path
    """Result, data and checkpoints."""

    @property
    def examples(self) -> Path:
        """Manifests of the jobs and the pool."""
        return self.root / "examples"

    @property
    def chart(self) -> Path:
        """The Helm chart."""
        return self.root / "charts" / "farthing"

    @property
    def data(self) -> Path:
        """The directory behind the volume that jobs read from."""
        return self.out / "volumes" / "data"

    @property
    def checkpoints(self) -> Path:
        """The directory behind the volume that jobs write to; it outlives the cluster."""
        return self.out / "volumes" / "checkpoints"

    @property
    def result(self) -> Path:
        """The record of what happened (docs/demo.md)."""
        return self.out / "result.json"

    def on_host(self, uri: str) -> Path:
        """Where a `file:///checkpoints/…` URI of a worker lies on this machine. Raises ValueError for any other URI."""
        prefix = "file:///checkpoints/"
        if not uri.startswith(prefix):
            raise ValueError(f"{uri!r} is not on the demo's checkpoint volume, {prefix}…")
        return self.checkpoints / uri.removeprefix(prefix)
