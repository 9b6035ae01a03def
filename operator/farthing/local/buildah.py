"""Buildah with a store of its own: it touches no other image of the machine."""

from collections.abc import Sequence
from pathlib import Path

from farthing.local.paths import Paths
from farthing.local.shell import run, succeeds

ISOLATION = {"BUILDAH_ISOLATION": "chroot"}
"""Needs neither user namespaces nor a runtime: works where containers may not nest."""


def buildah(paths: Paths, *arguments: str | Path) -> str:
    """Run one buildah command on our store and return its output."""
    return run([*_command(paths), *arguments], environment=ISOLATION)


def image_exists(paths: Paths, name: str) -> bool:
    """Whether the store has an image of that name."""
    return succeeds([*_command(paths), "inspect", "--type", "image", name])


def images(paths: Paths, repository: str) -> list[str]:
    """Every `name:tag` of a repository in the store, newest first."""
    listing = buildah(paths, "images", "--format", "{{.Name}}:{{.Tag}}", "--filter", f"reference={repository}")
    return listing.split()


def _command(paths: Paths) -> Sequence[str | Path]:
    # Without skip_mount_home the driver leaves a bind mount of its own folder behind.
    storage = ["--root", paths.builder, "--runroot", paths.builder / "run", "--storage-driver", "overlay"]
    return ["buildah", *storage, "--storage-opt", "overlay.skip_mount_home=true"]
