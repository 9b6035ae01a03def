"""What the machine was like before its first node: saved once, so that `down` can give it back.

A second `up`, or one after a crash, finds the file and saves nothing: by then the machine has been changed.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from farthing.errors import LocalClusterError
from farthing.local.firewall import chains
from farthing.local.paths import Paths
from farthing.local.shell import write_atomically

RESERVED_PORTS = "net/ipv4/ip_local_reserved_ports"
"""Ports that the kernel gives only to those who ask for them by number."""

SYSCTLS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/bridge/bridge-nf-call-iptables",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/ip_forward",
    RESERVED_PORTS,
    "net/ipv6/conf/all/forwarding",
    "net/netfilter/nf_conntrack_max",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
"""What `reserve_ports`, kubelet, kube-proxy and the bridge plugin may set."""

SHARED_FOLDERS = (
    "/opt/cni/bin",
    "/opt/cni",
    "/run/containerd/s",
    "/run/containerd",
    "/run/netns",
    "/usr/libexec/kubernetes/kubelet-plugins",
    "/usr/libexec/kubernetes",
    "/var/lib/cni/cache",
    "/var/lib/cni/networks",
    "/var/lib/cni/results",
    "/var/lib/cni",
    "/var/lib/kubelet/device-plugins",
    "/var/lib/kubelet",
    "/var/log/containers",
)
"""Places with fixed names outside the state directory, children before parents."""

CLAIM = Path("/run/farthing-node")
"""Names the state directory of the one node that a machine can have: bridge, cgroup and addresses are its own."""

PROC_SYS = Path("/proc/sys")


@dataclass(frozen=True, slots=True)
class Baseline:
    """Values of sysctls, firewall chains and shared folders that were there before."""

    sysctls: dict[str, str]
    chains: list[list[str]]
    folders: list[str]


def claim_machine(paths: Paths) -> None:
    """Take the machine for this state's node and save what it is like, unless this state has it already.

    Raises LocalClusterError while another state directory has it.
    """
    holder = CLAIM.read_text().strip() if CLAIM.exists() else ""
    if holder and holder != str(paths.state) and (Path(holder) / "cluster.json").exists():
        raise LocalClusterError(
            f"this machine's node belongs to the cluster in {holder}: run `farthing down --state {holder}` first"
        )
    write_atomically(CLAIM, f"{paths.state}\n")
    if load_baseline(paths) is None:
        write_atomically(_file(paths), json.dumps(asdict(_observe()), indent=2) + "\n")


def load_baseline(paths: Paths) -> Baseline | None:
    """What was saved, or None where this state never had a node."""
    return Baseline(**json.loads(_file(paths).read_text())) if _file(paths).exists() else None


def reserve_ports(paths: Paths, ports: Iterable[int]) -> None:
    """Keep the cluster's ports for its components: one that was killed must find its own free when it starts again.

    Raises LocalClusterError where the machine does not let itself be set.
    """
    baseline = load_baseline(paths)
    before = baseline.sysctls.get(RESERVED_PORTS) if baseline else None
    if before is not None:  # else nobody could give it back
        _set_sysctl(RESERVED_PORTS, ",".join([*filter(None, [before]), *map(str, sorted(ports))]))


def restore_sysctls(baseline: Baseline) -> None:
    """Give changed sysctls their old values; what already has its value is not written. Raises as `reserve_ports`."""
    for name, value in baseline.sysctls.items():
        if _sysctl(name) != value:
            _set_sysctl(name, value)


def remove_new_folders(baseline: Baseline) -> None:
    """Remove shared folders that were not there before, as far as they are empty."""
    for folder in map(Path, SHARED_FOLDERS):
        if str(folder) not in baseline.folders and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def release_machine(paths: Paths) -> None:
    """Give the claim back."""
    if CLAIM.exists() and CLAIM.read_text().strip() == str(paths.state):
        CLAIM.unlink()


def _observe() -> Baseline:
    sysctls = {name: value for name in SYSCTLS if (value := _sysctl(name)) is not None}
    folders = [folder for folder in SHARED_FOLDERS if Path(folder).is_dir()]
    return Baseline(sysctls, [list(chain) for chain in chains()], folders)


def _sysctl(name: str) -> str | None:
    file = PROC_SYS / name
    return file.read_text().strip() if file.exists() else None


def _set_sysctl(name: str, value: str) -> None:
    try:
        (PROC_SYS / name).write_text(f"{value}\n")  # an empty value too must be one write
    except OSError as error:
        raise LocalClusterError(
            f"{PROC_SYS / name}: {error.strerror}: a node needs a machine whose sysctls can be set"
        ) from error


def _file(paths: Paths) -> Path:
    return paths.state / "baseline.json"
