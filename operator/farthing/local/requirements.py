"""What the machine must have before a cluster can stand on it: root, Debian packages, free disk."""

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from farthing.errors import LocalClusterError
from farthing.local.paths import Paths
from farthing.local.shell import run, succeeds

GIB = 2**30

MEASURED_STATE = 2 * GIB
"""etcd, logs and the binaries' cache of one cluster (docs/results/main-job.md)."""

MEASURED_IMAGES = 25 * GIB
"""With the trainer's image: layers 5.6, registry 3, containerd 8.8, package cache 5.2 GB and room for a new layer."""


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package and the file that shows it is there."""

    name: str
    proof: str


CONTROL_PLANE_PACKAGES = (Package("openssl", "openssl"),)

NODE_PACKAGES = (
    *CONTROL_PLANE_PACKAGES,
    Package("containerd", "containerd"),
    Package("runc", "runc"),
    Package("containernetworking-plugins", "/usr/lib/cni/bridge"),
    Package("iptables", "iptables"),
    Package("iproute2", "ip"),
    Package("conntrack", "conntrack"),
    Package("mount", "umount"),
    Package("buildah", "buildah"),
    Package("debootstrap", "debootstrap"),
    Package("docker-registry", "docker-registry"),
    Package("ca-certificates", "/usr/share/ca-certificates"),
)

SYSTEM_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where Debian puts administrators' programs; a plain user's PATH lacks them."""


def extend_path() -> None:
    """Make administrators' programs findable for this process and its children."""
    known = os.environ.get("PATH", "").split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([*known, *(folder for folder in SYSTEM_PATH if folder not in known)])


def missing(packages: Iterable[Package], found: Callable[[str], bool] | None = None) -> list[str]:
    """The names of those packages that are not on this machine, in the order given."""
    found = found or _found
    return [package.name for package in packages if not found(package.proof)]


def install(names: list[str], progress: Callable[[str], None]) -> None:
    """Install Debian packages, naming them first.

    Raises LocalClusterError without root or without apt-get, saying what to install by hand.
    """
    if not names:
        return
    progress(f"missing: {', '.join(names)}")
    by_hand = f"install them with `sudo apt-get install --no-install-recommends {' '.join(names)}`"
    if os.geteuid() != 0 or not _found("apt-get"):
        raise LocalClusterError(f"missing Debian packages {', '.join(names)}: {by_hand}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *names]
    if not all(succeeds(["apt-cache", "show", name]) for name in names):
        progress("apt-get update")
        run(["apt-get", "update"], environment=quiet)
    progress(f"apt-get install {' '.join(names)}")
    run(command, environment=quiet)


def require_root() -> None:
    """Raise LocalClusterError unless this process is root, which mounts, cgroups and network namespaces need."""
    if os.geteuid() != 0:
        raise LocalClusterError("a node needs root for mounts, cgroups and network namespaces: run `sudo farthing up`")


def require_disk(paths: Paths, *, images: bool, free: Callable[[Path], int] | None = None) -> None:
    """Raise LocalClusterError naming every place with less free disk than was measured to be needed.

    What the image store holds already counts as free, since it need not be written again.
    """
    free = free or _free
    needs = [(paths.state, MEASURED_STATE)]
    if images and not paths.builder.exists():
        needs.append((paths.image_store, MEASURED_IMAGES))
    short = [
        f"{place}: {free(place) / GIB:.1f} GiB free, {need / GIB:.0f} GiB needed" for place, need in needs if free(place) < need
    ]
    if short:
        raise LocalClusterError(f"too little disk: {'; '.join(short)} (set FARTHING_STATE and FARTHING_IMAGES elsewhere)")


def _found(proof: str) -> bool:
    return Path(proof).exists() if proof.startswith("/") else shutil.which(proof) is not None


def _free(place: Path) -> int:
    existing = next(folder for folder in (place, *place.parents) if folder.exists())
    return shutil.disk_usage(existing).free
