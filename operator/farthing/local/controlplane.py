"""etcd, API server, controller-manager and scheduler: the control plane that both profiles share."""

import http
import http.client
import json
import ssl
from collections.abc import Callable
from pathlib import Path

from farthing.errors import LocalClusterError
from farthing.local import certificates as pki
from farthing.local.kubeconfig import write_kubeconfig
from farthing.local.network import SERVICE_CIDR
from farthing.local.paths import Paths
from farthing.local.processes import Component, log_tail, pid_of, start
from farthing.local.shell import wait_until, write_atomically
from farthing.local.state import ClusterState

READY_SECONDS = 60.0
"""Bound of one component's start; measured 2.4 to 4.3 s on two idle cores for the slowest."""

GANG_GATE = "--feature-gates=GenericWorkload=true"
"""Beta and off by default in Kubernetes 1.37; the same on API server, controller-manager and scheduler."""

AUDITED_NAMESPACE = "farthing-system"
"""Each request of this namespace's service accounts, the operator's among them, is a line of the audit log."""


def make_identities(paths: Paths, cluster: ClusterState) -> None:
    """Every key, certificate and kubeconfig of the control plane, where it is missing."""
    pki.make_authority(paths)
    pki.make_authority(paths, "etcd-ca")
    pki.make_signing_key(paths)
    jobs = [(pki.ETCD, "etcd-ca"), (pki.ETCD_CLIENT, "etcd-ca"), (pki.api_server_identity(cluster.host), "ca")]
    jobs += [(identity, "ca") for identity in (pki.ADMIN, pki.CONTROLLER_MANAGER, pki.SCHEDULER, pki.KUBELET_CLIENT)]
    for identity, signer in jobs:
        pki.issue(paths, identity, signer)
    for identity in (pki.CONTROLLER_MANAGER, pki.SCHEDULER):
        write_kubeconfig(paths, identity, cluster.server, component_kubeconfig(paths, identity))


def component_kubeconfig(paths: Paths, identity: pki.Identity) -> Path:
    """Where a component's kubeconfig is."""
    return paths.pki / f"{identity.file}.kubeconfig"


def start_control_plane(paths: Paths, cluster: ClusterState, server: Path) -> None:
    """Start what does not run and wait until all of it is healthy.

    Raises LocalClusterError with the end of a component's log when it does not come up.
    """
    write_atomically(audit_policy(paths), render_audit_policy())
    start(paths, etcd(paths, cluster, server))
    start(paths, api_server(paths, cluster, server))
    wait_healthy(paths, "kube-apiserver", lambda: api_server_ready(paths, cluster))
    for component in (controller_manager(paths, cluster, server), scheduler(paths, cluster, server)):
        start(paths, component)
    for name in ("kube-controller-manager", "kube-scheduler"):
        wait_healthy(paths, name, healthy_over_tls(paths, cluster.ports[name]))


def wait_healthy(paths: Paths, name: str, probe: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
    """Wait for a component's health; an error, at once when it ended by itself, carries the end of its log."""

    def healthy() -> bool:
        if pid_of(paths, name) is None:
            raise LocalClusterError(f"{name} ended by itself; {log_tail(paths, name)}")
        return probe()

    wait_until(healthy, f"{name} healthy", seconds=seconds, hint=lambda: log_tail(paths, name))


def etcd(paths: Paths, cluster: ClusterState, server: Path) -> Component:
    """One member on loopback, with client certificates. Without fsync in the control-plane profile, which is for tests."""
    url, peer = (f"https://127.0.0.1:{cluster.ports['etcd']}", f"http://127.0.0.1:{cluster.ports['etcd-peer']}")
    flags = [
        f"--data-dir={paths.state / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        f"--cert-file={pki.certificate(paths, pki.ETCD)}",
        f"--key-file={pki.key(paths, pki.ETCD)}",
        "--client-cert-auth",
        f"--trusted-ca-file={pki.authority(paths, 'etcd-ca')}",
        "--log-level=warn",
    ]
    if cluster.profile == "ControlPlane":
        flags.append("--unsafe-no-fsync")
    return Component("etcd", [str(server), "etcd", *flags])


def api_server(paths: Paths, cluster: ClusterState, server: Path) -> Component:
    """The API server: no anonymous access, no static tokens."""
    serving = pki.api_server_identity(cluster.host)
    issuer = "https://kubernetes.default.svc.cluster.local"
    signing_key = paths.pki / "service-accounts.key"
    flags = [
        f"--etcd-servers=https://127.0.0.1:{cluster.ports['etcd']}",
        f"--etcd-cafile={pki.authority(paths, 'etcd-ca')}",
        f"--etcd-certfile={pki.certificate(paths, pki.ETCD_CLIENT)}",
        f"--etcd-keyfile={pki.key(paths, pki.ETCD_CLIENT)}",
        f"--bind-address={cluster.host}",
        f"--secure-port={cluster.ports['kube-apiserver']}",
        f"--tls-cert-file={pki.certificate(paths, serving)}",
        f"--tls-private-key-file={pki.key(paths, serving)}",
        f"--client-ca-file={pki.authority(paths)}",
        "--anonymous-auth=false",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--service-account-issuer={issuer}",
        f"--service-account-key-file={signing_key}",
        f"--service-account-signing-key-file={signing_key}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--audit-policy-file={audit_policy(paths)}",
        f"--audit-log-path={audit_log(paths)}",
        "--audit-log-maxsize=50",
        "--audit-log-maxbackup=1",
        *_reachability(paths, cluster),
    ]
    if cluster.native_gangs:
        flags += [GANG_GATE, "--runtime-config=scheduling.k8s.io/v1beta1=true"]
    return Component("kube-apiserver", [str(server), "kube-apiserver", *flags])


def audit_policy(paths: Paths) -> Path:
    """Where the API server reads what to record."""
    return paths.etc / "audit-policy.json"


def audit_log(paths: Paths) -> Path:
    """Where it records: one JSON a line, with the verb, the object, the answer and the rule that allowed it."""
    return paths.log / "audit.log"


def render_audit_policy() -> str:
    """Who asked for what and was told what, without any content: what the chart's rights are used for."""
    rules = [{"level": "Metadata", "userGroups": [f"system:serviceaccounts:{AUDITED_NAMESPACE}"]}, {"level": "None"}]
    return json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules})


def _reachability(paths: Paths, cluster: ClusterState) -> list[str]:
    """How pods reach the API server and it the kubelet; without a node, neither does."""
    if cluster.profile == "ControlPlane":
        return ["--endpoint-reconciler-type=none"]
    return [
        f"--advertise-address={cluster.host}",
        # By address, since the node's name resolves nowhere.
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={pki.authority(paths)}",
        f"--kubelet-client-certificate={pki.certificate(paths, pki.KUBELET_CLIENT)}",
        f"--kubelet-client-key={pki.key(paths, pki.KUBELET_CLIENT)}",
    ]


def controller_manager(paths: Paths, cluster: ClusterState, server: Path) -> Component:
    """Every controller, each with its own service account."""
    flags = [
        f"--service-account-private-key-file={paths.pki / 'service-accounts.key'}",
        # Without it the ca.crt in pods is empty.
        f"--root-ca-file={pki.authority(paths)}",
        "--use-service-account-credentials=true",
        "--controllers=*",
    ]
    return _leader(paths, cluster, server, pki.CONTROLLER_MANAGER, flags)


def scheduler(paths: Paths, cluster: ClusterState, server: Path) -> Component:
    """The default scheduler."""
    return _leader(paths, cluster, server, pki.SCHEDULER, [])


def _leader(paths: Paths, cluster: ClusterState, server: Path, who: pki.Identity, flags: list[str]) -> Component:
    """What controller-manager and scheduler have in common: one replica, health on loopback.

    `--authentication-skip-lookup` because one started before the API server's RBAC has synced exits otherwise.
    """
    kubeconfig = component_kubeconfig(paths, who)
    shared = [
        f"--kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--authentication-skip-lookup=true",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={cluster.ports[who.file]}",
        f"--cert-dir={paths.pki}",
    ]
    gates = [GANG_GATE] if cluster.native_gangs else []
    return Component(who.file, [str(server), who.file, *shared, *flags, *gates])


def api_server_ready(paths: Paths, cluster: ClusterState) -> bool:
    """Whether `/readyz` answers 200 to the administrator, under our own authority's certificate."""
    context = ssl.create_default_context(cafile=str(pki.authority(paths)))
    context.load_cert_chain(pki.certificate(paths, pki.ADMIN), pki.key(paths, pki.ADMIN))
    return http_ok(cluster.host, cluster.ports["kube-apiserver"], "/readyz", context)


def healthy_over_tls(paths: Paths, port: int) -> Callable[[], bool]:
    """A probe of `/healthz` on a loopback port whose certificate the component signed itself; nothing secret is sent."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return lambda: http_ok("127.0.0.1", port, "/healthz", context)


def http_ok(host: str, port: int, path: str, tls: ssl.SSLContext | None = None) -> bool:
    """Whether a GET answers 200 within two seconds; False when nobody listens."""
    connection: http.client.HTTPConnection
    connection = (
        http.client.HTTPSConnection(host, port, timeout=2, context=tls)
        if tls
        else http.client.HTTPConnection(host, port, timeout=2)
    )
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
