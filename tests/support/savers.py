"""Checkpoints without a training run: a gang of two real processes that saves and searches, and dies at an exact write.

A write is what changes a file system: a folder made, a file opened for writing, a sync, a rename, a removal. Python's audit
events tell of each before it happens, so that a test can end a process before the first, the second … the last of a save.
"""

import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tests.support.forked import Forked
from tests.support.free_port import free_port
from tests.support.trainer import PATIENCE_SECONDS

from farthing.contract.checkpoint import Manifest
from farthing_trainer.checkpoint import Checkpoints, Found, Saved, created_now
from farthing_trainer.gang import Gang, join_gang
from farthing_trainer.place import Place, Started

KEEP = 2
WORLD = 2
JOB = "uid-1"
_EVENTS = frozenset({"os.mkdir", "os.rename", "os.remove", "os.rmdir"})
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def header(step: int, *, trunk: bool = False, job: str = JOB) -> Manifest:
    """The manifest of a checkpoint as the loop hands it to a save."""
    return Manifest(
        job_uid=job, attempt="saver-abcde-1", step=step, tokens=step * 10, next_sample=step * 4, seed=0, signature={},
        trunk=trunk, data_digest="data", tokenizer_digest="tokenizer", flops=0.0, duration_seconds=0.0,
        created=created_now(), files=(),
    )  # fmt: skip


def tensors(step: int) -> dict[str, torch.Tensor]:
    """A state that tells which step it is of."""
    return {f"model.{name}": torch.full((20, 50), float(step)) for name in ("a", "b", "c", "d")}


def checkpoints(uri: str, gang: Gang, *, attempt: int = 1, keep: int = KEEP) -> Checkpoints:
    """The store of the tests' job."""
    return Checkpoints(uri, JOB, f"saver-abcde-{attempt}", keep, gang)


def alone() -> Gang:
    """A world of one, in this process."""
    return Gang(Place(0, 0, 1, 1, "127.0.0.1", Started.now()), torch.device("cpu"))


def save_as(store: Checkpoints, *steps: int, trunk: bool = False) -> None:
    """Save the state of each step."""
    for step in steps:
        saved: Saved = store.save(tensors(step), header(step, trunk=trunk))
        assert saved.report is not None, saved.error


@dataclass(frozen=True)
class Death:
    """One rank dies before write number `write` of its part of a save (0: it only counts), or with half of a file written."""

    rank: int
    write: int = 0
    half_a_file: bool = False
    counted: Path | None = None

    def arm(self, rank: int) -> None:
        """From now on, in this process."""
        if rank != self.rank:
            return
        if self.half_a_file:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
        else:
            writes = _Writes(self)
            sys.addaudithook(writes.heard)
            sync = os.fsync
            os.fsync = lambda file: (writes.one("os.fsync"), sync(file))[1]  # type: ignore[assignment]


@dataclass
class _Writes:
    death: Death
    seen: list[str] = field(default_factory=list)
    _busy: bool = False

    def heard(self, event: str, about: tuple[Any, ...]) -> None:
        if event in _EVENTS or (event == "open" and isinstance(about[2], int) and about[2] & _WRITING):
            self.one(event)

    def one(self, event: str) -> None:
        if self._busy:
            return
        self.seen.append(event)
        if len(self.seen) == self.death.write:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.death.counted is not None:
            self._busy = True
            self.death.counted.write_text("\n".join(self.seen), encoding="utf-8")
            self._busy = False


def together(log: Path, work: Callable[[Gang], None]) -> list[int]:
    """Do something in every process of a gang of two; returns how they left. Their logs go to one file."""
    port = free_port()
    processes = [Forked(_member, rank, port, log, work) for rank in range(WORLD)]
    codes = [process.wait(PATIENCE_SECONDS) for process in processes]
    for process in processes:
        process.end()
    assert None not in codes, f"a member of the gang still runs\n{log.read_text()}"
    return [code for code in codes if code is not None]


def _member(rank: int, port: int, log: Path, work: Callable[[Gang], None]) -> None:
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    names = {"RANK": rank, "WORLD_SIZE": WORLD, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    os.environ.update({name: str(value) for name, value in names.items()})
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, force=True)
    gang = join_gang(Place(rank, rank, WORLD, WORLD, "127.0.0.1", Started.now()), PATIENCE_SECONDS)
    work(gang)
    gang.leave()


@dataclass(frozen=True)
class SaveAndDie:
    """Work of a gang: save these steps in peace, then one more under a death."""

    uri: str
    last: int
    death: Death
    attempt: int = 1

    def __call__(self, gang: Gang) -> None:
        store = checkpoints(self.uri, gang, attempt=self.attempt)
        self.death.arm(gang.rank)
        save_as(store, self.last)


@dataclass(frozen=True)
class Recover:
    """Work of a gang: find the newest checkpoint, see that its values are its step's, and save another on top."""

    uri: str
    then: int
    found: Path

    def __call__(self, gang: Gang) -> None:
        store = checkpoints(self.uri, gang, attempt=2)
        found: Found | None = store.newest()
        assert found is not None
        state = tensors(0)
        store.load(found, state)
        assert all(bool((value == found.manifest.step).all()) for value in state.values())
        if gang.is_first:
            self.found.write_text(str(found.manifest.step), encoding="utf-8")
        save_as(store, self.then)


def names_in(folder: Path) -> Sequence[str]:
    """What lies in a folder of checkpoints."""
    return sorted(path.name for path in folder.iterdir())
