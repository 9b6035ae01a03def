"""Durable checkpoints: written aside by all ranks, digests in a manifest written last, renamed into place (DESIGN 5).

The state dict holds the trained parameters and the optimizer's tensors by name and nothing per rank, so that any world
size loads it; everything else that a run needs stands in the manifest.
"""

import hashlib
import logging
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from pydantic import ValidationError
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from farthing.contract.checkpoint import MANIFEST_NAME, FileDigest, Manifest, checkpoint_folder
from farthing.contract.progress import CheckpointReport
from farthing.units import MIB, format_time
from farthing_trainer.gang import Gang
from farthing_trainer.storage import Folder, fsync_folder

_DCP_METADATA = ".metadata"
_CHUNK = MIB

log = logging.getLogger(__name__)

# A world of one has no process group, and that is meant.
warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint whose files match its manifest. `digest` is the manifest's SHA-256."""

    manifest: Manifest
    digest: str


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of a save, the same on every rank: a report, or why it failed."""

    report: CheckpointReport | None
    error: str = ""


class Checkpoints:
    """The checkpoints of one job in one folder. Every method but the readers is called by all ranks alike."""

    def __init__(self, uri: str, job_uid: str, attempt: str, keep: int, gang: Gang) -> None:
        self.folder = Folder(uri, "checkpoint.uri")
        self._job_uid = job_uid
        self._attempt = attempt
        self._keep = keep
        self._gang = gang

    def newest(self, *, trunk: bool = False) -> Found | None:
        """The newest valid checkpoint (with `trunk`: of the trunk). Rank 0 looks, and says which it skipped and why."""
        found = self._search(trunk=trunk) if self._gang.is_first else None
        return self._gang.from_first(found)

    def load(self, found: Found, tensors: dict[str, torch.Tensor]) -> None:
        """Read the values of all tensors, in place, resharded to what this rank holds."""
        name = checkpoint_folder(found.manifest.step)
        with _readable(self.folder / name, found.manifest) as path:
            load(tensors, storage_reader=FileSystemReader(path), no_dist=self._gang.world == 1)

    def save(self, tensors: dict[str, torch.Tensor], header: Manifest) -> Saved:
        """Write a checkpoint. `header` is its manifest without files and duration. A failure is returned, not raised."""
        started = time.monotonic()
        writing = _Writing(self.folder, checkpoint_folder(header.step), self._attempt)
        error = self._write(writing, tensors)
        parts = self._gang.gather((writing.own_digests(self._gang) if not error else (), error))
        errors = [text for _, text in parts if text]
        saved = Saved(None, errors[0]) if errors else None
        if self._gang.is_first:
            saved = saved or self._commit(writing, header, [d for digests, _ in parts for d in digests], started)
        saved = self._gang.from_first(saved)
        writing.clean_up(self._gang)
        return saved

    def _write(self, writing: "_Writing", tensors: dict[str, torch.Tensor]) -> str:
        """DCP's part. Returns why it failed, or nothing."""
        error = ""
        if self._gang.is_first:
            error = writing.prepare()
        if error := self._gang.from_first(error):
            return error
        try:
            writer = FileSystemWriter(writing.local_path(), overwrite=False, sync_files=True)
            save(tensors, storage_writer=writer, no_dist=self._gang.world == 1)
            writing.upload(self._gang)
        except OSError as problem:
            return str(problem)
        except CheckpointException as problem:
            causes = [str(cause[0]) for cause in problem.failures.values()]
            return causes[0] if causes else str(problem)
        return ""

    def _commit(self, writing: "_Writing", header: Manifest, files: list[FileDigest], started: float) -> Saved:
        seconds = time.monotonic() - started
        manifest = header.model_copy(update={"files": tuple(files), "duration_seconds": seconds})
        data = manifest.to_json().encode()
        try:
            writing.commit(data)
            self._retain()
        except OSError as problem:
            return Saved(None, str(problem))
        report = CheckpointReport(
            step=manifest.step,
            tokens=manifest.tokens,
            uri=f"{self.folder.uri}/{checkpoint_folder(manifest.step)}",
            digest=hashlib.sha256(data).hexdigest(),
            time=manifest.created,
            seconds=time.monotonic() - started,
            bytes=sum(file.bytes for file in files),
            trunk=manifest.trunk,
        )
        return Saved(report)

    def _search(self, *, trunk: bool) -> Found | None:
        for name in reversed(self._step_names()):
            if trunk and not _is_trunk(self.folder / name):
                continue
            try:
                return self._verified(name)
            except _Unusable as problem:
                log.warning("checkpoint %s is skipped: %s", name, problem)
        return None

    def _verified(self, name: str) -> Found:
        """Check every digest before anything is read: DCP's metadata is a pickle. Raises _Unusable."""
        folder = self.folder / name
        manifest, data = _read_manifest(folder)
        if manifest.job_uid != self._job_uid:
            raise _Unusable(f"it belongs to another job ({manifest.job_uid})")
        with tempfile.TemporaryDirectory() as scratch:
            for file in manifest.files:
                _check_file(folder, file, Path(scratch))
        return Found(manifest, hashlib.sha256(data).hexdigest())

    def _step_names(self) -> list[str]:
        return [name for name in self.folder.names() if name.startswith("step-") and ".tmp." not in name]

    def _retain(self) -> None:
        """Keep the newest `keep` checkpoints and the newest trunk; drop the rest and what earlier attempts left half-done."""
        names = self._step_names()
        kept = set(names[-self._keep :])
        trunks = [name for name in names if _is_trunk(self.folder / name)]
        kept.update(trunks[-1:])
        half_done = [name for name in self.folder.names() if ".tmp." in name and not name.endswith(f".tmp.{self._attempt}")]
        for name in [*(name for name in names if name not in kept), *half_done]:
            self.folder.remove(name)


class _Unusable(Exception):
    """A checkpoint that must not be loaded, and why."""


def _read_manifest(folder: Folder) -> tuple[Manifest, bytes]:
    try:
        data = folder.read(MANIFEST_NAME)
        return Manifest.model_validate_json(data), data
    except (OSError, ValidationError) as error:
        raise _Unusable(f"its manifest cannot be read ({type(error).__name__})") from error


def _is_trunk(folder: Folder) -> bool:
    try:
        return _read_manifest(folder)[0].trunk
    except _Unusable:
        return False


def _check_file(folder: Folder, file: FileDigest, scratch: Path) -> None:
    try:
        path = folder.fetch(file.name, scratch)
        found = digest_of(path)
    except OSError as error:
        raise _Unusable(f"{file.name} cannot be read ({error})") from error
    if (found.bytes, found.sha256) != (file.bytes, file.sha256):
        raise _Unusable(f"{file.name} does not match its digest ({found.bytes} of {file.bytes} bytes)")


def digest_of(path: Path) -> FileDigest:
    """Size and SHA-256 of a file."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return FileDigest(name=path.name, bytes=path.stat().st_size, sha256=sha.hexdigest())


@contextmanager
def _readable(folder: Folder, manifest: Manifest) -> Iterator[Path]:
    """A local path that holds the checkpoint's files."""
    if folder.local is not None:
        yield folder.local
        return
    with tempfile.TemporaryDirectory() as scratch:
        for file in manifest.files:
            _check_file(folder, file, Path(scratch))
        yield Path(scratch)


class _Writing:
    """One checkpoint while it is written: aside and renamed on a file system; on an object store the manifest commits."""

    def __init__(self, parent: Folder, name: str, attempt: str) -> None:
        self._parent = parent
        self._name = name
        self._aside = f"{name}.tmp.{attempt}"
        self._scratch = Path(tempfile.mkdtemp()) if parent.local is None else None

    def local_path(self) -> Path:
        """Where this rank's DCP writes."""
        return self._scratch or Path(str(self._parent.local)) / self._aside

    def prepare(self) -> str:
        """An empty folder aside. Returns why it failed, or nothing."""
        try:
            if self._scratch is None:
                self._parent.remove(self._aside)
                self.local_path().mkdir(parents=True)
        except OSError as problem:
            return str(problem)
        return ""

    def _own_files(self, gang: Gang) -> list[Path]:
        files = sorted(self.local_path().glob(f"__{gang.rank}_*"))
        return [*files, self.local_path() / _DCP_METADATA] if gang.is_first else files

    def own_digests(self, gang: Gang) -> tuple[FileDigest, ...]:
        """Digests of the files that this rank wrote; rank 0's include DCP's metadata."""
        return tuple(digest_of(path) for path in self._own_files(gang))

    def upload(self, gang: Gang) -> None:
        """To the object store, where there is one."""
        if self._scratch is not None:
            target = self._parent / self._name
            for path in self._own_files(gang):
                target.put(path, path.name)

    def commit(self, manifest: bytes) -> None:
        """Write the manifest and, on a file system, rename the folder into place, durably. Raises OSError."""
        if self._parent.local is None:
            (self._parent / self._name).write(MANIFEST_NAME, manifest)
            return
        (self._parent / self._aside).write(MANIFEST_NAME, manifest)
        self._parent.remove(self._name)  # only a checkpoint that is not valid can be in the way
        os.rename(self.local_path(), self._parent.local / self._name)  # noqa: PTH104 - the system call is the commit
        fsync_folder(self._parent.local)

    def clean_up(self, gang: Gang) -> None:
        """Drop what is left aside after a failure."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch)
        elif gang.is_first:
            shutil.rmtree(self.local_path(), ignore_errors=True)


def created_now() -> str:
    """The manifest's time of creation."""
    return format_time(datetime.now(UTC))
