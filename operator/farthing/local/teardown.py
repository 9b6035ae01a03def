"""Taking a node off the machine without the help of any living part: it works after `kill -9` of everything.

The order matters: what restarts things goes first, then what runs, then what it stood on.
"""

import contextlib
import os
import signal
from pathlib import Path

from farthing.local import cgroups, firewall
from farthing.local.baseline import Baseline, release_machine, remove_new_folders, restore_sysctls
from farthing.local.containerd import BRIDGE, NETWORK, runc_root
from farthing.local.kubelet import pod_logs
from farthing.local.mounts import unmount_all
from farthing.local.paths import Paths
from farthing.local.processes import find
from farthing.local.shell import run, succeeds, wait_until

SHIM = "containerd-shim-runc-v2"
SHIM_SOCKETS = Path("/run/containerd/s")
DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")


def remove_node(paths: Paths, baseline: Baseline) -> None:
    """Remove containers, mounts, network, firewall chains, cgroups and changed sysctls. The components are dead already."""
    kill_shims(paths)
    cgroups.kill_all()
    delete_containers(paths)
    remove_shim_sockets()
    remove_network_memory(paths)
    unmount_all([paths.state, paths.containerd_root])
    remove_links(paths)
    remove_bridge()
    firewall.remove_chains([(family, table, name) for family, table, name in baseline.chains])
    cgroups.remove_root()
    restore_sysctls(baseline)
    remove_device_plugins()
    remove_new_folders(baseline)
    release_machine(paths)


def kill_shims(paths: Paths) -> None:
    """SIGKILL the shims that answer to our containerd's socket, and wait until they are gone."""
    for pid in shims(paths):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not shims(paths), "no containerd shim", seconds=10)


def shims(paths: Paths) -> list[int]:
    """The pids of our containerd's shims."""
    return find(lambda words: Path(words[0]).name == SHIM and str(paths.containerd_socket) in words)


def delete_containers(paths: Paths) -> None:
    """Let runc forget its containers, so that their cgroups and mounts have no owner."""
    root = runc_root(paths) / "k8s.io"
    for container in sorted(folder.name for folder in root.iterdir()) if root.is_dir() else ():
        run(["runc", "--root", root, "delete", "--force", container])


def remove_shim_sockets() -> None:
    """The shims' sockets have fixed places in /run. Those that nobody listens on any more belong to dead shims: to ours,
    since they were just killed, or to one whose task containerd has forgotten after a crash."""
    listening = {line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()}
    for socket in SHIM_SOCKETS.glob("*"):
        if str(socket) not in listening:
            socket.unlink()


def remove_links(paths: Paths) -> None:
    """The kubelet's links to pods' logs."""
    for link in Path("/var/log/containers").glob("*"):
        if link.is_symlink() and link.readlink().is_relative_to(pod_logs(paths)):
            link.unlink()


def remove_bridge() -> None:
    """The bridge and the host's ends of the pods' cables (which go by themselves once the network namespaces are gone)."""
    for line in run(["ip", "-oneline", "link", "show", "type", "veth"]).splitlines():
        if f"master {BRIDGE} " in line:
            succeeds(["ip", "link", "delete", line.split(": ")[1].split("@")[0]])
    if Path(f"/sys/class/net/{BRIDGE}").exists():
        run(["ip", "link", "delete", BRIDGE])


def remove_network_memory(paths: Paths) -> None:
    """What CNI remembers of our pods' networks and loopbacks, at a place that nobody can choose."""
    tasks = [task.name for task in paths.containerd_state.glob("io.containerd.runtime.v2.task/k8s.io/*")]
    for result in Path("/var/lib/cni/results").glob("*"):
        if result.name.startswith(f"{NETWORK}-") or any(task in result.name for task in tasks):
            result.unlink()


def remove_device_plugins() -> None:
    """The kubelet's registration of device plugins, at a fixed place too."""
    for file in (DEVICE_PLUGINS / "kubelet.sock", DEVICE_PLUGINS / "kubelet_internal_checkpoint"):
        file.unlink(missing_ok=True)
