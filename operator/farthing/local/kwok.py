"""Pretended nodes: kwok plays the kubelet of nodes that carry its annotation, after the stages in `kwok-stages.yaml`.

A pod on such a node runs until it is deleted. Three annotations script it:
`farthing.dev/fake-seconds` (a duration like `3s`) ends it by itself, `farthing.dev/fake-exit-code` says how (0 if absent), and
`farthing.dev/fake-last-word` is its termination message, however it ends.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from farthing.local.cluster import LocalCluster
from farthing.local.controlplane import http_ok, wait_healthy
from farthing.local.processes import Component, start

STAGES = Path(__file__).parent / "kwok-stages.yaml"

ANNOTATION = "kwok.x-k8s.io/node"
ANNOTATION_VALUE = "fake"
FAKE_SECONDS = "farthing.dev/fake-seconds"
FAKE_EXIT_CODE = "farthing.dev/fake-exit-code"
FAKE_LAST_WORD = "farthing.dev/fake-last-word"

LEASE_SECONDS = 40
"""The kubelet's own default."""


def start_kwok(cluster: LocalCluster) -> None:
    """Start kwok, unless it runs, and wait until it is healthy."""
    port = cluster.decisions.ports["kwok"]
    flags = [
        f"--kubeconfig={cluster.kubeconfig}",
        f"--config={STAGES}",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={ANNOTATION}={ANNOTATION_VALUE}",
        f"--node-lease-duration-seconds={LEASE_SECONDS}",
        f"--server-address=127.0.0.1:{port}",
        "--node-ip=127.0.0.1",
    ]
    start(cluster.paths, Component("kwok", [str(cluster.binaries["kwok"]), *flags]))
    wait_healthy(cluster.paths, "kwok", lambda: http_ok("127.0.0.1", port, "/healthz"))


def fake_gpu_nodes(
    cluster: LocalCluster,
    count: int,
    accelerators: int,
    resource: str = "nvidia.com/gpu",
    labels: Mapping[str, str] | None = None,
    name: str = "fake-gpu",
) -> Sequence[str]:
    """Make sure that nodes `<name>-0 … <name>-<count-1>` exist, each with `accelerators` of `resource`; their names."""
    start_kwok(cluster)
    names = [f"{name}-{index}" for index in range(count)]
    cluster.apply(*(_node(each, labels or {}) for each in names))
    amounts = {resource: str(accelerators), "cpu": "64", "memory": "512Gi", "pods": "110", "ephemeral-storage": "1Ti"}
    for each in names:
        cluster.patch_node_status(each, {"capacity": amounts, "allocatable": amounts})
    if names:
        cluster.kubectl("wait", "node", *names, "--for=condition=Ready", "--timeout=60s")
    return names


def _node(name: str, labels: Mapping[str, str]) -> dict[str, object]:
    """A Node that no kubelet will ever claim."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {ANNOTATION: ANNOTATION_VALUE},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "farthing.dev/fake": "true",
                **labels,
            },
        },
    }
