"""What makes Services and names work: kube-proxy on iptables, and CoreDNS behind the cluster's DNS address."""

import json
from typing import Any

from farthing.local import certificates as pki
from farthing.local.cluster import LocalCluster
from farthing.local.controlplane import component_kubeconfig, http_ok, wait_healthy
from farthing.local.kubeconfig import write_kubeconfig
from farthing.local.network import CLUSTER_DOMAIN, DNS_SERVICE, POD_CIDR
from farthing.local.paths import Paths
from farthing.local.processes import Component, start
from farthing.local.shell import write_atomically
from farthing.local.state import ClusterState


def start_proxy(cluster: LocalCluster) -> None:
    """Start kube-proxy unless it runs, and wait until it has written its rules."""
    paths, decisions = cluster.paths, cluster.decisions
    pki.issue(paths, pki.PROXY)
    write_kubeconfig(paths, pki.PROXY, decisions.server, component_kubeconfig(paths, pki.PROXY))
    config = paths.etc / "kube-proxy.json"
    write_atomically(config, render_proxy(paths, decisions))
    start(paths, Component("kube-proxy", [str(cluster.binaries["server"]), "kube-proxy", f"--config={config}"]))
    port = decisions.ports["kube-proxy-health"]
    wait_healthy(paths, "kube-proxy", lambda: http_ok("127.0.0.1", port, "/healthz"))


def start_dns(cluster: LocalCluster) -> None:
    """Start CoreDNS unless it runs, and wait until it knows the cluster."""
    paths, decisions = cluster.paths, cluster.decisions
    pki.issue(paths, pki.COREDNS)
    write_kubeconfig(paths, pki.COREDNS, decisions.server, component_kubeconfig(paths, pki.COREDNS))
    corefile = paths.etc / "Corefile"
    write_atomically(corefile, render_corefile(paths, decisions))
    start(paths, Component("coredns", [str(cluster.binaries["coredns"]), "-conf", str(corefile)]))
    port = decisions.ports["coredns-ready"]
    wait_healthy(paths, "coredns", lambda: http_ok("127.0.0.1", port, "/ready"))


def render_proxy(paths: Paths, decisions: ClusterState) -> str:
    """KubeProxyConfiguration as JSON. It leaves the machine's connection tracking as it is."""
    document = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": decisions.node_name,
        "clusterCIDR": str(POD_CIDR),
        "clientConnection": {"kubeconfig": str(component_kubeconfig(paths, pki.PROXY))},
        "healthzBindAddress": f"127.0.0.1:{decisions.ports['kube-proxy-health']}",
        "metricsBindAddress": f"127.0.0.1:{decisions.ports['kube-proxy-metrics']}",
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        # Without it kube-proxy opens 127.0.0.1 to routed packets (route_localnet).
        "iptables": {"localhostNodePorts": False},
    }
    return json.dumps(document, indent=2) + "\n"


def render_corefile(paths: Paths, decisions: ClusterState) -> str:
    """Cluster names without a cache (a gang's peers appear at any moment), all others from the machine's resolver."""
    port, kubeconfig = decisions.ports["coredns"], component_kubeconfig(paths, pki.COREDNS)
    reverse = "in-addr.arpa ip6.arpa"
    return f"""{CLUSTER_DOMAIN}:{port} {reverse.replace(" ", f":{port} ")}:{port} {{
    bind {decisions.host}
    errors
    kubernetes {CLUSTER_DOMAIN} {reverse} {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 1
        fallthrough {reverse}
    }}
    forward . /etc/resolv.conf
}}
.:{port} {{
    bind {decisions.host}
    ready 127.0.0.1:{decisions.ports["coredns-ready"]}
    errors
    cache 30
    forward . /etc/resolv.conf
}}
"""


def manifests(decisions: ClusterState) -> list[dict[str, Any]]:
    """The DNS Service with the machine as its endpoint, and the two roles that the bootstrap policy lacks."""
    port = decisions.ports["coredns"]
    protocols = {"dns": "UDP", "dns-tcp": "TCP"}
    service = {"namespace": "kube-system", "name": "kube-dns", "labels": {"k8s-app": "kube-dns"}}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": service,
            "spec": {
                "clusterIP": str(DNS_SERVICE),
                "ports": [{"name": name, "port": 53, "targetPort": port, "protocol": kind} for name, kind in protocols.items()],
            },
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**service, "labels": {"kubernetes.io/service-name": "kube-dns"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [decisions.host], "conditions": {"ready": True}}],
            "ports": [{"name": name, "port": port, "protocol": kind} for name, kind in protocols.items()],
        },
        _role("system:coredns", {"": ["services", "namespaces", "pods", "endpoints"], "discovery.k8s.io": ["endpointslices"]}),
        _binding("system:coredns", "system:coredns", pki.COREDNS.common_name),
        _binding("farthing:kubelet-api", "system:kubelet-api-admin", pki.KUBELET_CLIENT.common_name),
    ]


def _role(name: str, resources: dict[str, list[str]]) -> dict[str, Any]:
    rules = [{"apiGroups": [group], "resources": names, "verbs": ["list", "watch"]} for group, names in resources.items()]
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}


def _binding(name: str, role: str, user: str) -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
