"""The node's own cgroup tree, on cgroup v1 and v2: everything that a pod runs is below it."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from farthing.local.shell import wait_until

ROOT = "farthing"
MOUNT = Path("/sys/fs/cgroup")


def hierarchies(mount: Path = MOUNT) -> list[Path]:
    """Every mounted hierarchy: the one of version 2, or each controller's of version 1 (and `unified` beside them)."""
    if (mount / "cgroup.controllers").exists():
        return [mount]
    return sorted(folder for folder in mount.iterdir() if (folder / "cgroup.procs").exists() and not folder.is_symlink())


def make_root() -> None:
    """Create our tree's root in every hierarchy; the kubelet refuses a root that is missing in one."""
    for hierarchy in hierarchies():
        (hierarchy / ROOT).mkdir(exist_ok=True)


def kill_all() -> None:
    """SIGKILL every process in our tree and wait until none is left."""

    def empty() -> bool:
        left = set(members())
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_until(empty, f"no process in cgroup {ROOT}", seconds=30)


def remove_root() -> None:
    """Remove our tree from the leaves up. The kernel may hold a cgroup for a moment after its last process."""

    def gone() -> bool:
        for folder in _folders():
            with suppress(OSError):
                folder.rmdir()
        return not any(_folders())

    wait_until(gone, f"cgroup {ROOT} removed", seconds=30)


def members() -> Iterator[int]:
    """The pids of every process in our tree, as often as there are hierarchies."""
    for folder in _folders():
        with suppress(OSError):
            yield from map(int, (folder / "cgroup.procs").read_text().split())


def _folders() -> Iterator[Path]:
    """Our tree's folders in all hierarchies, children before parents."""
    for hierarchy in hierarchies():
        for folder, _, _ in os.walk(hierarchy / ROOT, topdown=False):
            yield Path(folder)
