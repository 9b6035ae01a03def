"""Mounts below our directories, and getting rid of them before anything below is removed."""

import re
from collections.abc import Sequence
from pathlib import Path

from farthing.errors import LocalClusterError
from farthing.local.shell import run, succeeds, wait_until

OCTAL = re.compile(r"\\([0-7]{3})")


def below(folders: Sequence[Path], table: str | None = None) -> list[str]:
    """Mount points at or below `folders`, the last mounted first; `table` is the content of /proc/self/mounts."""
    lines = (table if table is not None else Path("/proc/self/mounts").read_text()).splitlines()
    points = [OCTAL.sub(lambda match: chr(int(match[1], 8)), line.split()[1]) for line in lines]
    prefixes = tuple(f"{folder}/" for folder in folders)
    return [point for point in reversed(points) if point.startswith(prefixes) or point in map(str, folders)]


def unmount_all(folders: Sequence[Path]) -> None:
    """Unmount everything at or below `folders`.

    Raises LocalClusterError naming what stays mounted: nothing below may then be removed, as a removal would reach through
    a mount into the data of a volume.
    """

    def none_left() -> bool:
        for point in below(folders):
            if not succeeds(["umount", point]):
                run(["umount", "--lazy", point])
        return not below(folders)

    wait_until(none_left, "everything unmounted", seconds=30, hint=lambda: "\n".join(below(folders)))


def require_unmounted(folder: Path) -> None:
    """Raise LocalClusterError if anything at or below `folder` is a mount point."""
    if points := below([folder]):
        raise LocalClusterError(f"{folder}: not removed, as these are still mounted: {', '.join(points)}")
