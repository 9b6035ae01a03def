"""The base that the Dockerfiles name, `python:3.11-slim-bookworm`, made from Debian's own packages.

With Docker the name means the official image; here it is a Debian with Python at the same places, so that one Dockerfile
serves both and no image registry is needed.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from farthing.local.buildah import buildah, image_exists
from farthing.local.paths import Paths
from farthing.local.shell import run

NAME = "localhost/python:3.11-slim-bookworm"
SUITE = "bookworm"
RECIPE = 1
"""Raise it when what `_populate` does changes: every layer of every image is then built anew."""
PACKAGES = ("ca-certificates", "python3", "python3-pip", "python3-venv")
SPARE = ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")
"""What an image needs no files of."""


def ensure_base(paths: Paths, progress: Callable[[str], None]) -> None:
    """Make the base image unless the store has it from this very recipe."""
    recipe = hashlib.sha256(f"{RECIPE} {SUITE} {PACKAGES} {SPARE}".encode()).hexdigest()[:12]
    made = f"localhost/farthing-base:{recipe}"
    if image_exists(paths, made) and image_exists(paths, NAME):
        return
    progress(f"making the base image {NAME} with debootstrap")
    root = paths.image_store / "base.new"
    shutil.rmtree(root, ignore_errors=True)  # of one that was interrupted
    _populate(root)
    container = buildah(paths, "from", "scratch").strip()
    buildah(paths, "add", "--quiet", container, root, "/")
    buildah(paths, "config", "--cmd", "python3", "--env", "LANG=C.UTF-8", container)
    buildah(paths, "commit", "--quiet", "--rm", container, made)
    shutil.rmtree(root)
    buildah(paths, "tag", made, NAME)


def _populate(root: Path) -> None:
    """A minimal Debian in `root`, with `python` and `pip` where the official image has them."""
    root.mkdir(parents=True)
    run(["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, root])
    for spare in SPARE:
        shutil.rmtree(root / spare, ignore_errors=True)
    for marker in (root / "usr/lib").glob("python3.*/EXTERNALLY-MANAGED"):
        marker.unlink()
    for link, program in (("python", "python3"), ("python3", "python3"), ("pip", "pip3")):
        (root / "usr/local/bin" / link).symlink_to(f"/usr/bin/{program}")
