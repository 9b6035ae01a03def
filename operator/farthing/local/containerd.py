"""containerd with its own root, state and socket, and the pod network of the bridge plugin."""

import json
from pathlib import Path

from farthing.local.controlplane import wait_healthy
from farthing.local.network import POD_CIDR
from farthing.local.paths import Paths
from farthing.local.processes import Component, start
from farthing.local.shell import succeeds, write_atomically

BRIDGE = "farthing0"
NETWORK = "farthing"
CNI_PLUGINS = Path("/usr/lib/cni")
"""Where Debian's containernetworking-plugins puts them."""


def start_containerd(paths: Paths, sandbox_image: str) -> None:
    """Start containerd unless it runs, and wait until it answers."""
    config = paths.etc / "containerd.toml"
    write_atomically(config, render_config(paths, sandbox_image))
    write_atomically(paths.etc / "cni" / "10-farthing.conflist", render_network(paths))
    start(paths, Component("containerd", ["containerd", "--config", str(config)]))
    wait_healthy(paths, "containerd", lambda: succeeds(["ctr", "--address", paths.containerd_socket, "version"]))


def containerd_client(paths: Paths) -> list[str]:
    """The beginning of a command on the kubelet's images."""
    return ["ctr", "--address", str(paths.containerd_socket), "--namespace", "k8s.io"]


def render_config(paths: Paths, sandbox_image: str) -> str:
    """containerd's configuration, version 2: 1.6 reads it, 2.x converts it."""
    return f"""version = 2
root = "{paths.containerd_root}"
state = "{paths.containerd_state}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt",
]

[grpc]
  address = "{paths.containerd_socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox_image}"
  disable_apparmor = true
  # Lowering a score needs CAP_SYS_RESOURCE, which a machine inside a sandbox lacks.
  restrict_oom_score_adj = true
  disable_tcp_service = true
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "{runc_root(paths)}"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{paths.etc / "cni"}"
"""


def runc_root(paths: Paths) -> Path:
    """runc's own state; containerd adds the folder `k8s.io`."""
    return paths.run / "runc"


def render_network(paths: Paths) -> str:
    """A bridge with addresses from the pod range, masqueraded to the outside, and host ports."""
    addresses = {
        "type": "host-local",
        "dataDir": str(paths.state / "cni"),
        "ranges": [[{"subnet": str(POD_CIDR)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipMasq": True, "hairpinMode": True, "ipam": addresses}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.4.0", "name": NETWORK, "plugins": [bridge, portmap]}, indent=2) + "\n"
