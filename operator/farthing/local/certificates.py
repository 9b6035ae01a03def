"""A certificate authority of the cluster's own and what it signs: EC P-256 keys by openssl, one identity a component.

No static token exists anywhere. A key or certificate that is there is kept, so a second `up` changes no identity.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from farthing.local.network import API_SERVICE, CLUSTER_DOMAIN
from farthing.local.paths import Paths
from farthing.local.shell import run, write_atomically

DAYS = "3650"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a certificate speaks for: `groups` become `O=`, and `names` (DNS names and addresses) make it a server."""

    file: str
    common_name: str
    groups: Sequence[str] = ()
    names: Sequence[str] = ()

    def subject(self) -> str:
        """The X.509 subject in openssl's notation."""
        return "".join(f"/O={group}" for group in self.groups) + f"/CN={self.common_name}"

    def extensions(self) -> str:
        """openssl extension lines: the use, and the names of a server."""
        lines = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature"]
        lines.append(f"extendedKeyUsage=clientAuth{',serverAuth' if self.names else ''}")
        if self.names:
            kinds = (f"{'IP' if name.replace('.', '').isdigit() else 'DNS'}:{name}" for name in self.names)
            lines.append(f"subjectAltName={','.join(kinds)}")
        return "\n".join(lines) + "\n"


ADMIN = Identity("admin", "admin", groups=["system:masters"])
CONTROLLER_MANAGER = Identity("kube-controller-manager", "system:kube-controller-manager")
SCHEDULER = Identity("kube-scheduler", "system:kube-scheduler")
PROXY = Identity("kube-proxy", "system:kube-proxy")
COREDNS = Identity("coredns", "system:coredns")
KUBELET_CLIENT = Identity("kube-apiserver-kubelet-client", "kube-apiserver-kubelet-client")
"""How the API server speaks to the kubelet, for logs and exec."""
ETCD = Identity("etcd", "etcd", names=["127.0.0.1"])
ETCD_CLIENT = Identity("etcd-client", "kube-apiserver")


def node_identity(node: str, host: str) -> Identity:
    """The kubelet: a client of the API server and a server for logs and exec."""
    return Identity("kubelet", f"system:node:{node}", groups=["system:nodes"], names=[node, host])


def api_server_identity(host: str) -> Identity:
    """The API server under each name that a client may call it by."""
    service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{CLUSTER_DOMAIN}"]
    return Identity("kube-apiserver", "kube-apiserver", names=[*service, "localhost", str(API_SERVICE), "127.0.0.1", host])


def certificate(paths: Paths, identity: Identity) -> Path:
    """Where an identity's certificate is."""
    return paths.pki / f"{identity.file}.crt"


def key(paths: Paths, identity: Identity) -> Path:
    """Where an identity's private key is."""
    return paths.pki / f"{identity.file}.key"


def authority(paths: Paths, name: str = "ca") -> Path:
    """The certificate of an authority: `ca` of the cluster, `etcd-ca` of its store (no identity of one opens the other)."""
    return paths.pki / f"{name}.crt"


def make_authority(paths: Paths, name: str = "ca") -> None:
    """Create an authority, unless it exists."""
    if authority(paths, name).exists():
        return
    secret = _make_key(paths.pki / f"{name}.key")
    aside = authority(paths, name).with_suffix(".new")
    use: list[str | Path] = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    run(
        ["openssl", "req", "-x509", "-new", "-key", secret, "-subj", f"/CN=farthing-{name}", "-days", DAYS, *use, "-out", aside]
    )
    aside.replace(authority(paths, name))


def issue(paths: Paths, identity: Identity, signer: str = "ca") -> None:
    """Create and sign an identity's key and certificate, unless it has one. openssl ≥ 1.1.1."""
    if certificate(paths, identity).exists():
        return
    secret = _make_key(key(paths, identity))
    request, extensions = (paths.pki / f"{identity.file}.{ending}" for ending in ("csr", "ext"))
    run(["openssl", "req", "-new", "-key", secret, "-subj", identity.subject(), "-out", request])
    write_atomically(extensions, identity.extensions())
    aside = certificate(paths, identity).with_suffix(".new")
    signed_by: list[str | Path] = ["-CA", authority(paths, signer), "-CAkey", paths.pki / f"{signer}.key", "-CAcreateserial"]
    run(["openssl", "x509", "-req", "-in", request, *signed_by, "-days", DAYS, "-extfile", extensions, "-out", aside])
    aside.replace(certificate(paths, identity))
    request.unlink()
    extensions.unlink()


def make_signing_key(paths: Paths) -> Path:
    """The key that signs service account tokens; created once."""
    return _make_key(paths.pki / "service-accounts.key")


def _make_key(path: Path) -> Path:
    """An EC P-256 key in SEC 1 form: the API server finds no public key in a PKCS 8 one."""
    if not path.exists():
        write_atomically(path, run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"]), mode=0o600)
    return path
