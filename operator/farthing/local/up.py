"""`farthing up`: bring a cluster to the state in which everything runs, from whatever state it is in."""

from collections.abc import Callable
from pathlib import Path

from farthing.local import builds, requirements
from farthing.local.baseline import claim_machine, reserve_ports
from farthing.local.certificates import ADMIN
from farthing.local.cluster import LocalCluster
from farthing.local.controlplane import make_identities, start_control_plane
from farthing.local.kubeconfig import write_kubeconfig
from farthing.local.kwok import start_kwok
from farthing.local.lock import alone
from farthing.local.node import start_node
from farthing.local.paths import Paths, invoker, resolve
from farthing.local.rate import measure_cpu_rate, save_rate
from farthing.local.state import Profile, decide

MODULES = {
    "ControlPlane": (builds.SERVER, builds.HELM, builds.KWOK),
    "Cluster": (builds.SERVER, builds.COREDNS, builds.HELM, builds.KWOK, builds.PAUSE),
}
"""What each profile is made of."""

CPU_SLOTS = 2
"""How many slots the node offers unless told otherwise: two workers are the smallest gang."""


def up(
    profile: Profile,
    state: Path | None = None,
    native_gangs: bool = True,
    progress: Callable[[str], None] = print,
    *,
    slots: int = CPU_SLOTS,
) -> LocalCluster:
    """Start what does not run, wait until all of it is ready, and return the cluster. Running it twice changes nothing.

    `ControlPlane` needs no root; `Cluster` also measures what a slot can do, once, into `rate.json`.
    Raises LocalClusterError naming what is missing or which part did not come up.
    """
    paths = resolve(state)
    requirements.extend_path()
    _check(paths, profile, progress)
    paths.make()
    with alone(paths):
        if profile == "Cluster":
            claim_machine(paths)
        binaries = builds.build(paths, MODULES[profile], progress)
        cluster = LocalCluster(paths, decide(paths, profile, native_gangs=native_gangs), binaries)
        if profile == "Cluster":
            reserve_ports(paths, cluster.decisions.ports.values())
            _measure(cluster, slots, progress)
        _start_control_plane(cluster, progress)
        if profile == "Cluster":
            start_node(cluster, slots, progress)
        else:
            start_kwok(cluster)
    progress(f"ready: export KUBECONFIG={cluster.kubeconfig}")
    return cluster


def _start_control_plane(cluster: LocalCluster, progress: Callable[[str], None]) -> None:
    """Control plane first: everything else asks it. The administrator's files belong to the person at the shell."""
    paths, decisions = cluster.paths, cluster.decisions
    progress(f"starting the control plane in {paths.state}")
    make_identities(paths, decisions)
    start_control_plane(paths, decisions, cluster.binaries["server"])
    write_kubeconfig(paths, ADMIN, decisions.server, cluster.kubeconfig)
    cluster.helm_home.mkdir(exist_ok=True)
    for owned in (cluster.kubeconfig, cluster.helm_home):
        invoker().own(owned)


def _measure(cluster: LocalCluster, slots: int, progress: Callable[[str], None]) -> None:
    """Before anything of ours is running."""
    if not cluster.rate_file.exists():
        progress("measuring what one CPU slot can do")
        save_rate(measure_cpu_rate(slots), cluster.rate_file)


def _check(paths: Paths, profile: Profile, progress: Callable[[str], None]) -> None:
    """Name everything that is missing before the first change, and install what can be."""
    whole = profile == "Cluster"
    if whole:
        requirements.require_root()
    requirements.require_disk(paths, images=whole)
    packages = requirements.NODE_PACKAGES if whole else requirements.CONTROL_PLANE_PACKAGES
    requirements.install(requirements.missing(packages), progress)
