"""What a machine is like, so that a test can say that nothing was left behind."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from farthing.local.cgroups import MOUNT
from farthing.local.processes import command_line

NODE_PARTS = re.compile(r"containerd|docker-registry|coredns|^/pause$")
"""First words of command lines of what only a node has; control planes may stand beside it."""

VOLATILE = re.compile(r"count|random|nf_conntrack_(max|buckets)|neigh/|stat_|route/flush|_delay$")
"""Settings that change by themselves."""

COUNTERS = re.compile(r"\[\d+:\d+\]")

FIXED_PLACES = (
    "/run/containerd",
    "/run/netns",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/run/farthing-node",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """Lines of each kind that a cluster could change."""

    processes: frozenset[str]
    mounts: frozenset[str]
    cgroups: frozenset[str]
    firewall: frozenset[str]
    links: frozenset[str]
    routes: frozenset[str]
    sysctls: frozenset[str]
    files: frozenset[str]

    def difference(self, later: "Machine") -> dict[str, list[str]]:
        """What was added (+) and removed (-) until `later`, by kind; empty when nothing was."""
        found: dict[str, list[str]] = {}
        for kind in self.__slots__:
            before, after = getattr(self, kind), getattr(later, kind)
            lines = [f"+ {line}" for line in sorted(after - before)] + [f"- {line}" for line in sorted(before - after)]
            if lines:
                found[kind] = lines
        return found


def look() -> Machine:
    """Look at this machine. As root."""
    return Machine(
        processes=frozenset(_processes()),
        mounts=frozenset(Path("/proc/self/mounts").read_text().splitlines()),
        cgroups=frozenset(str(folder) for folder in MOUNT.glob("*/*") if folder.is_dir()),
        firewall=frozenset(_firewall("iptables-save") + _firewall("ip6tables-save")),
        links=frozenset(re.sub(r"^\d+: ", "", line) for line in _lines("ip", "-oneline", "-brief", "link")),
        routes=frozenset(_lines("ip", "route")),
        sysctls=frozenset(_sysctls()),
        files=frozenset(
            str(path) for place in FIXED_PLACES for path in [Path(place), *Path(place).glob("**/*")] if path.exists()
        ),
    )


def _processes() -> list[str]:
    """Command lines without their pids."""
    lines = (command_line(int(folder.name)) for folder in Path("/proc").glob("[0-9]*"))
    return [" ".join(words) for words in lines if words and NODE_PARTS.search(words[0])]


def _firewall(command: str) -> list[str]:
    """Rules and user-made chains without counters. A table's own chains come with its first rule and stay, empty."""
    lines = (line for line in _lines(command) if line.startswith("-A") or (line.startswith(":") and " - " in line))
    return [f"{command} {COUNTERS.sub('', line)}" for line in lines]


def _sysctls() -> list[str]:
    found = []
    for area in (
        "kernel/panic*",
        "kernel/keys/*",
        "vm/*",
        "net/ipv4/**/*",
        "net/ipv6/conf/**/*",
        "net/bridge/*",
        "net/netfilter/*",
    ):
        for file in Path("/proc/sys").glob(area):
            if file.is_file() and not VOLATILE.search(str(file)):
                found.append(f"{file}={_value(file)}")
    return found


def _value(file: Path) -> str:
    """A setting's value; some can only be written."""
    try:
        return file.read_text().strip()
    except OSError:
        return "unreadable"


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
