"""Durable checkpoints: written aside by all ranks, digests in a manifest written last, renamed into place (DESIGN 5).

The state dict holds the trained parameters and the optimizer's tensors by name and nothing per rank, so that any world
size loads it; everything else that a run needs stands in the manifest.
"""

import hashlib
import logging
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from farthing.contract.checkpoint import MANIFEST_NAME, FileDigest, Manifest, checkpoint_folder, open_sealed, sealed
from farthing.contract.progress import CheckpointReport
from farthing.units import format_time
from farthing_trainer.gang import Gang
from farthing_trainer.storage import Folder
from farthing_trainer.writing import HALF_DONE, Writing, digest_of

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
        self._given_up: set[str] = set()
        """Checkpoints that the search passed over: damaged, or of a lineage that ended after the one resumed from."""

    def newest(self, *, trunk: bool = False) -> Found | None:
        """The newest valid checkpoint (with `trunk`: of the trunk). Rank 0 looks, and says which it skipped and why."""
        found, passed = self._search(trunk=trunk) if self._gang.is_first else (None, set())
        if found is not None or not trunk:
            self._given_up |= passed
        return self._gang.from_first(found)

    def load(self, found: Found, tensors: dict[str, torch.Tensor]) -> None:
        """Read the values of all tensors, in place, resharded to what this rank holds."""
        name = checkpoint_folder(found.manifest.step)
        with _readable(self.folder / name, found.manifest) as path:
            load(tensors, storage_reader=FileSystemReader(path), no_dist=self._gang.world == 1)

    def save(self, tensors: dict[str, torch.Tensor], header: Manifest) -> Saved:
        """Write a checkpoint. `header` is its manifest without files and duration. A failure is returned, not raised."""
        started = time.monotonic()
        writing = Writing(self.folder, checkpoint_folder(header.step), self._attempt)
        parts = self._gang.gather(self._write(writing, tensors))
        errors = [text for _, text in parts if text]
        saved = Saved(None, errors[0]) if errors else None
        if self._gang.is_first:
            saved = saved or self._commit(writing, header, [d for digests, _ in parts for d in digests], started)
        saved = self._gang.from_first(saved)
        writing.clean_up(self._gang)
        return saved

    def _write(self, writing: Writing, tensors: dict[str, torch.Tensor]) -> tuple[tuple[FileDigest, ...], str]:
        """Everything but the commit. Returns the digests of this rank's files, or why it failed."""
        if error := next(filter(None, self._gang.gather(self._prepare(writing))), ""):
            return (), error
        try:
            writer = FileSystemWriter(writing.local_path(), overwrite=False, sync_files=True)
            save(tensors, storage_writer=writer, no_dist=self._gang.world == 1)
            writing.upload(self._gang)
            return writing.own_digests(self._gang), ""
        except OSError as problem:
            return (), str(problem)
        except CheckpointException as problem:
            causes = [str(cause[0]) for cause in problem.failures.values()]
            return (), causes[0] if causes else str(problem)

    def _prepare(self, writing: Writing) -> str:
        """Why there is no place to write to, or nothing."""
        try:
            writing.prepare(self._gang)
        except OSError as problem:
            return str(problem)
        return ""

    def _commit(self, writing: Writing, header: Manifest, files: list[FileDigest], started: float) -> Saved:
        seconds = time.monotonic() - started
        manifest = header.model_copy(update={"files": tuple(files), "duration_seconds": seconds})
        data = sealed(manifest)
        try:
            writing.commit(data)
        except OSError as problem:
            return Saved(None, str(problem))
        try:
            self._retain(checkpoint_folder(manifest.step))
        except OSError as problem:
            log.warning("old checkpoints could not be dropped: %s", problem)
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

    def _search(self, *, trunk: bool) -> tuple[Found | None, set[str]]:
        """From the newest back: what was found, and what was passed over, unless the storage may have been at fault."""
        passed: set[str] = set()
        for name in self._half_done():
            log.warning("checkpoint %s is skipped: it was never finished", name)
        for name in reversed(self._step_names()):
            try:
                found = self._verified(name)
            except _Unreachable as problem:
                log.warning("checkpoint %s is skipped: %s", name, problem)
                continue
            except _Unusable as problem:
                log.warning("checkpoint %s is skipped: %s", name, problem)
            else:
                if found.manifest.trunk or not trunk:
                    return found, passed
            passed.add(name)
        return None, passed

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
        return [name for name in self.folder.names() if name.startswith("step-") and HALF_DONE not in name]

    def _half_done(self) -> list[str]:
        return [name for name in self.folder.names() if name.startswith("step-") and HALF_DONE in name]

    def _retain(self, newest: str) -> None:
        """Keep the newest `keep` checkpoints and the newest trunk; drop the rest, and what earlier attempts left half-done.

        What was given up takes no place and goes, now that a newer one stands; another job's is left alone. Raises OSError.
        """
        standing: dict[str, Manifest] = {}
        dropped = [name for name in self._half_done() if not name.endswith(f"{HALF_DONE}{self._attempt}")]
        for name in self._step_names():
            manifest = _manifest_of(self.folder / name)
            if manifest is None or (manifest.job_uid == self._job_uid and name in self._given_up - {newest}):
                dropped.append(name)
            elif manifest.job_uid == self._job_uid:
                standing[name] = manifest
        kept = {newest, *list(standing)[-self._keep :], *[name for name, manifest in standing.items() if manifest.trunk][-1:]}
        for name in [*dropped, *(name for name in standing if name not in kept)]:
            self.folder.remove(name)
        self._given_up.clear()


class _Unusable(Exception):
    """A checkpoint that must not be loaded, and why."""


class _Unreachable(_Unusable):
    """A checkpoint whose storage failed: it may be whole, so it is skipped and never dropped for it."""


def _read_manifest(folder: Folder) -> tuple[Manifest, bytes]:
    try:
        data = folder.read(MANIFEST_NAME)
        return open_sealed(data), data
    except FileNotFoundError as error:
        raise _Unusable("it has no manifest") from error
    except OSError as error:
        raise _Unreachable(f"its manifest cannot be read ({error})") from error
    except ValueError as error:
        raise _Unusable(f"its manifest is damaged ({type(error).__name__})") from error


def _manifest_of(folder: Folder) -> Manifest | None:
    """None where it is damaged or missing. Raises OSError where the storage fails."""
    try:
        return _read_manifest(folder)[0]
    except _Unreachable as problem:
        raise OSError(str(problem)) from problem
    except _Unusable:
        return None


def _check_file(folder: Folder, file: FileDigest, scratch: Path) -> None:
    try:
        path = folder.fetch(file.name, scratch)
        found = digest_of(path)
    except FileNotFoundError as error:
        raise _Unusable(f"{file.name} is missing") from error
    except OSError as error:
        raise _Unreachable(f"{file.name} cannot be read ({error})") from error
    if (found.bytes, found.sha256) != (file.bytes, file.sha256):
        raise _Unusable(f"{file.name} does not match its digest ({found.bytes} of {file.bytes} bytes)")


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


def created_now() -> str:
    """The manifest's time of creation."""
    return format_time(datetime.now(UTC))
