"""The kubelet of the one node: its configuration and its process."""

import json
from pathlib import Path

from farthing.local import certificates as pki
from farthing.local.cgroups import ROOT, make_root
from farthing.local.cluster import LocalCluster
from farthing.local.controlplane import component_kubeconfig, http_ok, wait_healthy
from farthing.local.kubeconfig import write_kubeconfig
from farthing.local.network import CLUSTER_DOMAIN, DNS_SERVICE
from farthing.local.paths import Paths
from farthing.local.processes import Component, start
from farthing.local.shell import write_atomically
from farthing.local.state import ClusterState


def start_kubelet(cluster: LocalCluster) -> None:
    """Start the kubelet unless it runs, and wait until it is healthy. It adopts containers that still run."""
    paths, decisions = cluster.paths, cluster.decisions
    identity = pki.node_identity(decisions.node_name, decisions.host)
    pki.issue(paths, identity)
    kubeconfig = write_kubeconfig(paths, identity, decisions.server, component_kubeconfig(paths, identity))
    config = paths.etc / "kubelet.json"
    write_atomically(config, render_config(paths, decisions))
    make_root()
    flags = [
        f"--config={config}",
        f"--kubeconfig={kubeconfig}",
        f"--root-dir={paths.kubelet}",
        f"--cert-dir={paths.pki}",
        f"--hostname-override={decisions.node_name}",
        f"--node-ip={decisions.host}",
    ]
    start(paths, Component("kubelet", [str(cluster.binaries["server"]), "kubelet", *flags]))
    port = decisions.ports["kubelet-health"]
    wait_healthy(paths, "kubelet", lambda: http_ok("127.0.0.1", port, "/healthz"))


def pod_logs(paths: Paths) -> Path:
    """Where pods' logs are; `/var/log/containers` has links to them."""
    return paths.log / "pods"


def render_config(paths: Paths, decisions: ClusterState) -> str:
    """KubeletConfiguration as JSON."""
    identity = pki.node_identity(decisions.node_name, decisions.host)
    document = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        **_serving(paths, decisions),
        "tlsCertFile": str(pki.certificate(paths, identity)),
        "tlsPrivateKeyFile": str(pki.key(paths, identity)),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{ROOT}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{paths.containerd_socket}",
        "clusterDNS": [str(DNS_SERVICE)],
        "clusterDomain": CLUSTER_DOMAIN,
        # A developer's disk is often nearly full: evict only when nothing is left, and never collect images.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "podLogsDir": str(pod_logs(paths)),
        "volumePluginDir": str(paths.kubelet / "volume-plugins"),
        "syncFrequency": "10s",
    }
    return json.dumps(document, indent=2) + "\n"


def _serving(paths: Paths, decisions: ClusterState) -> dict[str, object]:
    """Where the kubelet listens and whom it answers: the API server asks who may read logs and run commands."""
    return {
        "address": decisions.host,
        "port": decisions.ports["kubelet"],
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": decisions.ports["kubelet-health"],
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki.authority(paths))},
        },
        "authorization": {"mode": "Webhook"},
    }
