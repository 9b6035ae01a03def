"""The one real node: containerd, kubelet, Services and names, its slots and its local volumes."""

from collections.abc import Callable

from farthing.local.cluster import LocalCluster
from farthing.local.containerd import start_containerd
from farthing.local.images import push_pause
from farthing.local.kubelet import start_kubelet
from farthing.local.registry import start_registry
from farthing.local.services import manifests, start_dns, start_proxy
from farthing.local.shell import wait_until
from farthing.local.volumes import storage_class

SLOT_RESOURCE = "farthing.dev/cpu-slot"
"""The extended resource that stands for one CPU's worth of training."""

NODE_LABELS = {"farthing.dev/pool": "cpu"}
"""What a GPUNodePool selects the node by."""

READY_SECONDS = 120.0


def start_node(cluster: LocalCluster, slots: int, progress: Callable[[str], None]) -> None:
    """Start what does not run of the node, wait until it is Ready, and give it its slots.

    Raises LocalClusterError with a part's log when it does not come up.
    """
    progress("starting the node")
    start_registry(cluster.paths, cluster.decisions)
    start_containerd(cluster.paths, push_pause(cluster))
    cluster.apply(*manifests(cluster.decisions), storage_class())
    start_kubelet(cluster)
    start_proxy(cluster)
    start_dns(cluster)
    wait_until(lambda: _ready(cluster), f"node {cluster.node_name} Ready", seconds=READY_SECONDS)
    offer_slots(cluster, slots)


def offer_slots(cluster: LocalCluster, slots: int) -> None:
    """Advertise `slots` of the slot resource on the node; both fields, since allocatable alone follows after 10 s."""
    amount = {SLOT_RESOURCE: str(slots)}
    cluster.patch_node_status(cluster.node_name, {"capacity": amount, "allocatable": amount})
    labels = [f"{name}={value}" for name, value in NODE_LABELS.items()]
    cluster.kubectl("label", "node", cluster.node_name, "--overwrite", *labels)


def _ready(cluster: LocalCluster) -> bool:
    nodes = cluster.get("nodes", "--ignore-not-found", f"--field-selector=metadata.name={cluster.node_name}")["items"]
    conditions = [condition for node in nodes for condition in node.get("status", {}).get("conditions", [])]
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
