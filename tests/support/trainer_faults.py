"""More that is put into a rank or a supervisor (see support/interrupts.py): times shortened, places where one waits or dies."""

import os
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.trainer import eventually


@dataclass(frozen=True)
class Impatient:
    """A supervisor that calls a rank hung after seconds, not after tens of seconds. Goes around the pod."""

    floor: float = 4.0
    confirm: float = 1.0

    def __call__(self) -> None:
        from farthing_trainer import pulse

        pulse.FLOOR_SECONDS, pulse.CONFIRM_SECONDS = self.floor, self.confirm


@dataclass(frozen=True)
class ShortHold:
    """The hold after an acknowledged stop is this short."""

    seconds: float = 0.2

    def __call__(self) -> None:
        from farthing_trainer import loop

        loop.HOLD_AFTER_STOP_SECONDS = self.seconds


@dataclass(frozen=True)
class EveryBeat:
    """The heartbeat is written after every step, so that what is told as lost is what was lost."""

    def __call__(self) -> None:
        from farthing_trainer import heartbeat

        heartbeat.INTERVAL_SECONDS = 0.0


@dataclass(frozen=True)
class Gate:
    """Rank 0 stops before it commits a checkpoint, until the test opens the gate; it stays open then."""

    home: Path

    @property
    def _reached(self) -> Path:
        return self.home / "gate-reached"

    @property
    def _opened(self) -> Path:
        return self.home / "gate-opened"

    def __call__(self) -> None:
        from farthing_trainer.writing import Writing

        commit = Writing.commit

        def gated(writing: Writing, manifest: bytes) -> None:
            self._reached.touch()
            eventually(lambda: True if self._opened.exists() else None, lambda: "the gate stayed shut")
            commit(writing, manifest)

        Writing.commit = gated  # type: ignore[method-assign]

    def wait(self, explain: Callable[[], str]) -> None:
        """Until a save stands before the gate."""
        eventually(lambda: True if self._reached.exists() else None, explain)

    def open(self) -> None:
        """Let it pass."""
        self._opened.touch()


@dataclass(frozen=True)
class Slow:
    """What is not a training step takes `seconds`, and so does the first step, as if it compiled."""

    seconds: float

    def __call__(self) -> None:
        from farthing_trainer import loop, run
        from farthing_trainer.checkpoint import Checkpoints
        from farthing_trainer.loop import Trainer

        self._slow_down(run, "join_gang")
        self._slow_down(Checkpoints, "newest")
        self._slow_down(Checkpoints, "save")
        self._slow_down(loop, "evaluate")
        self._slow_down(Trainer, "_gradients", first_only=True)

    def _slow_down(self, owner: Any, name: str, *, first_only: bool = False) -> None:
        whole, calls = getattr(owner, name), []

        def slow(*arguments: Any, **named: Any) -> Any:
            if not (first_only and calls):
                time.sleep(self.seconds)
            calls.append(name)
            return whole(*arguments, **named)

        setattr(owner, name, slow)


@dataclass(frozen=True)
class DiesHalfWay:
    """One rank is killed by the kernel while it writes its shard of one step's checkpoint: past `size` bytes of a file."""

    step: int
    rank: int
    size: int = 20_000

    def __call__(self) -> None:
        if int(os.environ["RANK"]) != self.rank:
            return
        before_save(self.step, self._limit)

    def _limit(self) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))


@dataclass(frozen=True)
class DiesAt:
    """One rank is killed when it comes to `function` of `Writing` or `Checkpoints` in the checkpoint of one step."""

    step: int
    function: str
    rank: int = 0

    def __call__(self) -> None:
        if int(os.environ["RANK"]) == self.rank:
            before_save(self.step, self._arm)

    def _arm(self) -> None:
        from farthing_trainer.checkpoint import Checkpoints
        from farthing_trainer.writing import Writing

        owner = Writing if hasattr(Writing, self.function) else Checkpoints
        getattr(owner, self.function)  # a name that is gone must not make the fault a blank
        setattr(owner, self.function, lambda *_: os.kill(os.getpid(), signal.SIGKILL))


def before_save(step: int, act: Callable[[], None]) -> None:
    """Do something in this process just before the checkpoint of a step is written."""
    from farthing_trainer.checkpoint import Checkpoints

    save = Checkpoints.save

    def acted(checkpoints: Checkpoints, tensors: Any, header: Any) -> Any:
        if header.step == step:
            act()
        return save(checkpoints, tensors, header)

    Checkpoints.save = acted  # type: ignore[method-assign]


@dataclass(frozen=True)
class Devours:
    """One rank allocates memory in one step until the kernel ends it."""

    step: int
    rank: int
    limit: int
    """Bytes; a kernel that lets it have them all is a fault of the test, and said so."""

    def __call__(self) -> None:
        if int(os.environ["RANK"]) != self.rank:
            return
        from farthing_trainer.loop import Trainer

        whole = Trainer._micro_batch

        def micro_batch(trainer: Trainer, micro: int) -> Any:
            if trainer.position.step == self.step - 1:
                eaten = [b"\1" * (1 << 20) for _ in range(self.limit >> 20)]
                raise AssertionError(f"{len(eaten)} MiB were eaten and nobody was killed")
            return whole(trainer, micro)

        Trainer._micro_batch = micro_batch  # type: ignore[method-assign]
