"""The local image registry: Debian's docker-registry on a loopback port, plain http, which containerd accepts there."""

from farthing.local.controlplane import http_ok, wait_healthy
from farthing.local.paths import Paths
from farthing.local.processes import Component, start
from farthing.local.shell import write_atomically
from farthing.local.state import ClusterState


def start_registry(paths: Paths, cluster: ClusterState) -> None:
    """Start the registry unless it runs, and wait until it answers."""
    port = cluster.ports["registry"]
    config = paths.etc / "registry.yaml"
    write_atomically(config, render_config(str(paths.registry), port))
    start(paths, Component("registry", ["docker-registry", "serve", str(config)]))
    wait_healthy(paths, "registry", lambda: http_ok("127.0.0.1", port, "/v2/"))


def render_config(root: str, port: int) -> str:
    """docker-registry's configuration."""
    return f"""version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
http:
  addr: 127.0.0.1:{port}
"""
