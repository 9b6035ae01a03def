"""Scarce things of the machine's own, made by a test and taken away after it: a small disk, a group with little memory.

Both need root. Where they cannot be made the test fails and says so: a fault that was not injected proves nothing.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_LEGACY = Path("/sys/fs/cgroup/memory")
_UNIFIED = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Disk:
    """A small file system of its own."""

    path: Path

    def fill(self) -> Path:
        """Take every free byte; returns the file that holds them."""
        filler = self.path / "filler"
        with filler.open("wb", buffering=0) as file:
            free = os.statvfs(self.path)
            file.write(b"\0" * (free.f_bavail * free.f_frsize))
        return filler

    def remount(self, option: str) -> None:
        """`ro` or `rw`; asked again while a file is open for writing."""
        for _ in range(200):
            if subprocess.run(["mount", "-o", f"remount,{option}", self.path], capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        raise AssertionError(f"{self.path} could not be remounted {option}: something writes to it all the time")


@contextmanager
def small_disk(path: Path, mebibytes: int) -> Iterator[Disk]:
    """A tmpfs at `path`."""
    path.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "farthing-test", path], capture_output=True, text=True
    )
    assert made.returncode == 0, (
        f"a small disk cannot be mounted, so a full one cannot be tested (root is needed): {made.stderr}"
    )
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


@contextmanager
def little_memory(name: str, mebibytes: int) -> Iterator[Path]:
    """A memory control group; returns the file that takes the ids of its processes."""
    group, limit = _memory_group(name)
    try:
        group.mkdir()
        (group / limit).write_text(str(mebibytes << 20))
    except OSError as error:
        raise AssertionError(f"no memory group can be made, so a kill for memory cannot be tested: {error}") from error
    try:
        yield group / "cgroup.procs"
    finally:
        _remove(group)


def _memory_group(name: str) -> tuple[Path, str]:
    """Where a group is made, and its limit's file: version 1 where its controller is mounted, else version 2."""
    if (_LEGACY / "memory.limit_in_bytes").exists():
        return _LEGACY / name, "memory.limit_in_bytes"
    return _UNIFIED / name, "memory.max"


def _remove(group: Path) -> None:
    """The kernel lets a group go only once its last process is reaped."""
    for _ in range(200):
        try:
            group.rmdir()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"{group} could not be removed: {(group / 'cgroup.procs').read_text()}")
