"""Buildah with a store of its own: it touches no other image of the machine."""

import fcntl
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from farthing.local.mounts import below, unmount_all
from farthing.local.paths import Paths
from farthing.local.processes import find
from farthing.local.shell import run, stream, succeeds, wait_until, write_atomically

STEP_WIDTH = 110
"""Characters of a build step that are shown."""


def buildah(paths: Paths, *arguments: str | Path) -> str:
    """Run one buildah command on our store and return its output."""
    return run([*_command(paths), *arguments], environment=_environment(paths))


def build(paths: Paths, dockerfile: Path, context: Path, options: Sequence[str], progress: Callable[[str], None]) -> str:
    """Run a Dockerfile on the layers that earlier builds left, showing its steps; the image's id (64 characters)."""
    id_file = paths.builder / "last-build"
    fixed: list[str | Path] = ["--layers", "--pull-never", "--force-rm", "--iidfile", id_file, "--file", dockerfile]

    def report(line: str) -> None:
        if " STEP " in line:
            progress(line[:STEP_WIDTH])

    stream([*_command(paths), "bud", *fixed, *options, context], report, environment=_environment(paths))
    return id_file.read_text().removeprefix("sha256:").strip()


@contextmanager
def builder(paths: Paths) -> Iterator[None]:
    """Have the store for oneself, put right after a build that was killed; a second user waits."""
    paths.builder.mkdir(parents=True, exist_ok=True)
    with (paths.builder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _recover(paths)
        yield


def _recover(paths: Paths) -> None:
    """End builds whose parent died, and drop the mounts and containers that they left: the store fails on them."""
    for pid in _orphans(paths):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not _orphans(paths), "no orphaned build", seconds=30)
    if below([paths.builder]):
        unmount_all([paths.builder])
        buildah(paths, "rm", "--all")


def _orphans(paths: Paths) -> list[int]:
    """Buildah processes on our store; the lock says that none of them has a living parent of ours."""
    return find(lambda words: Path(words[0]).name.startswith("buildah") and str(paths.builder) in words)


def image_exists(paths: Paths, name: str) -> bool:
    """Whether the store has an image of that name."""
    return succeeds([*_command(paths), "inspect", "--type", "image", name])


def _command(paths: Paths) -> Sequence[str | Path]:
    # Without skip_mount_home the driver leaves a bind mount of its own folder behind.
    storage: list[str | Path] = ["--root", paths.builder, "--runroot", paths.builder / "run", "--storage-driver", "overlay"]
    return ["buildah", *storage, "--storage-opt", "overlay.skip_mount_home=true"]


def _environment(paths: Paths) -> dict[str, str]:
    """Isolation by chroot needs neither user namespaces nor a runtime: it works where containers may not nest. The
    configuration says what the flags say, since parts of buildah open the default store whatever the flags say."""
    config = paths.builder / "storage.conf"
    if not config.exists():
        where = f'driver = "overlay"\ngraphroot = "{paths.builder}"\nrunroot = "{paths.builder / "run"}"'
        write_atomically(config, f'[storage]\n{where}\n[storage.options.overlay]\nskip_mount_home = "true"\n')
    return {"BUILDAH_ISOLATION": "chroot", "CONTAINERS_STORAGE_CONF": str(config)}
