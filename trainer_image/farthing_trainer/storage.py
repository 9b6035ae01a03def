"""A folder at a local path or an fsspec URI, with the few durable operations that checkpoints and prepared data need.

On a local file system a file appears whole or not at all (written aside, fsync, rename, fsync of the folder); on object
stores a put is atomic by itself.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs

from farthing_trainer.errors import BadInput


def open_filesystem(uri: str, field: str) -> tuple[Any, str]:
    """The fsspec file system of a URI and the path in it. Raises BadInput naming `field` for a scheme nothing can read."""
    try:
        filesystem, path = url_to_fs(uri)
    except (ValueError, ImportError) as error:
        raise BadInput(field, uri, f"{error}; use file:// or a scheme whose fsspec package is in the image") from error
    return filesystem, path


class Folder:
    """One folder. `local` is its path where the file system is the machine's own, else None."""

    def __init__(self, uri: str, field: str = "uri") -> None:
        self.uri = uri.rstrip("/")
        self.field = field
        self._filesystem, path = open_filesystem(uri, field)
        self._path = path.rstrip("/")
        is_local = "file" in (
            self._filesystem.protocol if not isinstance(self._filesystem.protocol, str) else (self._filesystem.protocol,)
        )
        self.local = Path(self._path) if is_local else None

    def __truediv__(self, name: str) -> "Folder":
        return Folder(f"{self.uri}/{name}", self.field)

    def make(self) -> None:
        """Make the folder and its parents."""
        self._filesystem.makedirs(self._path, exist_ok=True)

    def names(self) -> list[str]:
        """Names in the folder, sorted; none where the folder does not exist."""
        self._filesystem.invalidate_cache()
        if not self._filesystem.isdir(self._path):
            return []
        return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in self._filesystem.ls(self._path, detail=False))

    def exists(self, name: str) -> bool:
        """Whether a file or folder of that name is there."""
        return bool(self._filesystem.exists(f"{self._path}/{name}"))

    def size(self, name: str) -> int:
        """Bytes of one file. Raises FileNotFoundError."""
        return int(self._filesystem.size(f"{self._path}/{name}"))

    def read(self, name: str) -> bytes:
        """The bytes of one file. Raises FileNotFoundError."""
        return bytes(self._filesystem.cat_file(f"{self._path}/{name}"))

    def write(self, name: str, data: bytes) -> None:
        """Make one file durable, whole or not at all. Raises OSError."""
        if self.local is None:
            self._filesystem.pipe_file(f"{self._path}/{name}", data)
            return
        self.local.mkdir(parents=True, exist_ok=True)
        aside = self.local / f".{name}.{os.getpid()}.tmp"
        try:
            with aside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.local / name)
        finally:
            aside.unlink(missing_ok=True)
        fsync_folder(self.local)

    def remove(self, name: str) -> None:
        """Delete a file or a whole folder; nothing happens where there is none."""
        if self.exists(name):
            self._filesystem.rm(f"{self._path}/{name}", recursive=True)

    def fetch(self, name: str, into: Path) -> Path:
        """A local path of one file: its own where the folder is local, else a copy below `into`."""
        if self.local is not None:
            return self.local / name
        into.mkdir(parents=True, exist_ok=True)
        copy = into / name
        self._filesystem.get_file(f"{self._path}/{name}", str(copy))
        return copy

    def put(self, source: Path, name: str) -> None:
        """Copy a local file into the folder, durably."""
        if self.local is None:
            self._filesystem.put_file(str(source), f"{self._path}/{name}")
            return
        aside = self.local / f".{name}.{os.getpid()}.tmp"
        shutil.copyfile(source, aside)
        fsync_file(aside)
        aside.replace(self.local / name)
        fsync_folder(self.local)


def fsync_file(path: Path) -> None:
    """Make a file's bytes durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def fsync_folder(path: Path) -> None:
    """Make the names in a folder durable: a rename is, only once its folder is synced."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
