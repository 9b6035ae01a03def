"""kubeconfig files: how a component, or a person, finds the API server and proves who it is."""

import base64
import json
from pathlib import Path

from farthing.local.certificates import Identity, authority, certificate, key
from farthing.local.paths import Paths
from farthing.local.shell import write_atomically

CONTEXT = "farthing"


def write_kubeconfig(paths: Paths, identity: Identity, server: str, file: Path) -> Path:
    """Write a kubeconfig with everything in it (no path into `pki`), readable by its owner only."""
    write_atomically(file, render_kubeconfig(paths, identity, server), mode=0o600)
    return file


def render_kubeconfig(paths: Paths, identity: Identity, server: str) -> str:
    """A kubeconfig for `identity` at `server` (an https URL): JSON, which is YAML."""
    cluster = {"server": server, "certificate-authority-data": _inline(authority(paths))}
    user = {
        "client-certificate-data": _inline(certificate(paths, identity)),
        "client-key-data": _inline(key(paths, identity)),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": identity.common_name, "user": user}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": identity.common_name}}],
        "current-context": CONTEXT,
    }
    return json.dumps(document, indent=2) + "\n"


def _inline(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
