"""What a cluster decided when it was first started and must keep: profile, address, ports. `cluster.json`."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

from farthing.errors import LocalClusterError
from farthing.local.network import free_ports, host_address
from farthing.local.paths import Paths
from farthing.local.shell import write_atomically

Profile = Literal["Cluster", "ControlPlane"]
"""`Cluster`: everything, with a real node. `ControlPlane`: etcd, API server, controllers, scheduler and kwok's nodes."""

PORT_NAMES = (
    "etcd",
    "etcd-peer",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kubelet-health",
    "kube-proxy-health",
    "kube-proxy-metrics",
    "coredns",
    "coredns-ready",
    "registry",
    "kwok",
)

NODE_NAME = "farthing-local"


@dataclass(frozen=True, slots=True)
class ClusterState:
    """The decisions. `host` is the address that pods, kubelet and clients find the API server at."""

    profile: Profile
    native_gangs: bool
    host: str
    ports: dict[str, int]
    node_name: str = NODE_NAME

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{self.host}:{self.ports['kube-apiserver']}"

    @property
    def registry(self) -> str:
        """host:port of the local registry; `localhost` makes containerd speak plain http to it."""
        return f"localhost:{self.ports['registry']}"


def load(paths: Paths) -> ClusterState | None:
    """The decisions of the cluster in this state directory, or None where there is none."""
    file = paths.state / "cluster.json"
    return ClusterState(**json.loads(file.read_text())) if file.exists() else None


def decide(paths: Paths, profile: Profile, *, native_gangs: bool) -> ClusterState:
    """The decisions to start with: those made before where they still hold, else new ones, written down.

    Raises LocalClusterError where what stands here is a cluster of another kind, or the machine's address has changed.
    """
    host = host_address() if profile == "Cluster" else "127.0.0.1"
    known = load(paths)
    if known is None:
        chosen = ClusterState(profile, native_gangs, host, free_ports(PORT_NAMES))
        write_atomically(paths.state / "cluster.json", json.dumps(asdict(chosen), indent=2) + "\n")
        return chosen
    wanted = {"profile": profile, "native gangs": native_gangs, "address": host}
    found = {"profile": known.profile, "native gangs": known.native_gangs, "address": known.host}
    for name, want in wanted.items():
        if found[name] != want:
            raise LocalClusterError(
                f"{paths.state}: the cluster here was made with {name} {found[name]}, not {want}: run `farthing down` first"
            )
    return known
