"""`farthing up`: bring a cluster to the state in which everything runs, from whatever state it is in."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from farthing.local import builds, requirements
from farthing.local.certificates import ADMIN
from farthing.local.cluster import LocalCluster
from farthing.local.controlplane import make_identities, start_control_plane
from farthing.local.kubeconfig import write_kubeconfig
from farthing.local.kwok import start_kwok
from farthing.local.node import start_node
from farthing.local.paths import Paths, invoker, resolve
from farthing.local.state import Profile, decide

MODULES = {
    "ControlPlane": (builds.SERVER, builds.HELM, builds.KWOK),
    "Cluster": (builds.SERVER, builds.COREDNS, builds.HELM, builds.KWOK, builds.PAUSE),
}
"""What each profile is made of."""


def up(
    profile: Profile,
    state: Path | None = None,
    native_gangs: bool = True,
    progress: Callable[[str], None] = print,
) -> LocalCluster:
    """Start what does not run, wait until all of it is ready, and return the cluster. Running it twice changes nothing.

    `ControlPlane` needs no root. Raises LocalClusterError naming what is missing or which part did not come up.
    """
    paths = resolve(state)
    requirements.extend_path()
    _check(paths, profile, progress)
    paths.make()
    with _alone(paths):
        binaries = builds.build(paths, MODULES[profile], progress)
        cluster = LocalCluster(paths, decide(paths, profile, native_gangs=native_gangs), binaries)
        progress(f"starting the control plane in {paths.state}")
        make_identities(paths, cluster.decisions)
        start_control_plane(paths, cluster.decisions, binaries["server"])
        write_kubeconfig(paths, ADMIN, cluster.decisions.server, cluster.kubeconfig)
        invoker().own(cluster.kubeconfig)
        if profile == "Cluster":
            start_node(cluster, progress)
        else:
            start_kwok(cluster)
    progress(f"ready: export KUBECONFIG={cluster.kubeconfig}")
    return cluster


def _check(paths: Paths, profile: Profile, progress: Callable[[str], None]) -> None:
    """Name everything that is missing before the first change, and install what can be."""
    whole = profile == "Cluster"
    if whole:
        requirements.require_root()
    requirements.require_disk(paths, images=whole)
    packages = requirements.NODE_PACKAGES if whole else requirements.CONTROL_PLANE_PACKAGES
    requirements.install(requirements.missing(packages), progress)


@contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """One `up` at a time in a state directory; a second waits."""
    with (paths.state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
