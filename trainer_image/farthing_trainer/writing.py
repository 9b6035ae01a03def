"""One checkpoint while it is written: aside and renamed on a file system; on an object store the manifest commits."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from farthing.contract.checkpoint import MANIFEST_NAME, FileDigest
from farthing.units import MIB
from farthing_trainer.gang import Gang
from farthing_trainer.storage import Folder, fsync_folder

HALF_DONE = ".tmp."
"""In the name of a folder that is being written, before the attempt's name."""
_DCP_METADATA = ".metadata"
_CHUNK = MIB


def digest_of(path: Path) -> FileDigest:
    """Size and SHA-256 of a file."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return FileDigest(name=path.name, bytes=path.stat().st_size, sha256=sha.hexdigest())


class Writing:
    """The steps of one save, in the order of the methods; every one but the getters may raise OSError."""

    def __init__(self, parent: Folder, name: str, attempt: str) -> None:
        self._parent = parent
        self._name = name
        self._aside = f"{name}{HALF_DONE}{attempt}"
        self._scratch: Path | None = None

    def prepare(self, gang: Gang) -> None:
        """An empty folder aside: one for all on a file system, one of its own for each rank before an object store."""
        if self._parent.local is None:
            self._scratch = Path(tempfile.mkdtemp())
        elif gang.is_first:
            self._parent.remove(self._aside)
            self.local_path().mkdir(parents=True)

    def local_path(self) -> Path:
        """Where this rank's DCP writes."""
        return self._scratch or Path(str(self._parent.local)) / self._aside

    def _own_files(self, gang: Gang) -> list[Path]:
        files = sorted(self.local_path().glob(f"__{gang.rank}_*"))
        return [*files, self.local_path() / _DCP_METADATA] if gang.is_first else files

    def upload(self, gang: Gang) -> None:
        """To the object store, where there is one."""
        if self._scratch is not None:
            target = self._parent / self._name
            for path in self._own_files(gang):
                target.put(path, path.name)

    def own_digests(self, gang: Gang) -> tuple[FileDigest, ...]:
        """Digests of the files that this rank wrote; rank 0's include DCP's metadata."""
        return tuple(digest_of(path) for path in self._own_files(gang))

    def commit(self, manifest: bytes) -> None:
        """Write the manifest and, on a file system, rename the folder into place, durably."""
        if self._parent.local is None:
            (self._parent / self._name).write(MANIFEST_NAME, manifest)
            return
        (self._parent / self._aside).write(MANIFEST_NAME, manifest)
        self._parent.remove(self._name)  # damaged, or of a lineage that was given up: nothing else can be in the way
        os.rename(self.local_path(), self._parent.local / self._name)  # noqa: PTH104 - the system call is the commit
        fsync_folder(self._parent.local)

    def clean_up(self, gang: Gang) -> None:
        """Drop what is left aside after a failure; what cannot be dropped is half-done and never loaded."""
        if self._scratch is not None or gang.is_first:
            shutil.rmtree(self.local_path(), ignore_errors=True)
