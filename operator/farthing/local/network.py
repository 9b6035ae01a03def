"""Addresses and ports: the machine's own address and port numbers that nobody uses."""

import contextlib
import ipaddress
import random
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

from farthing.errors import LocalClusterError

SERVICE_CIDR = ipaddress.IPv4Network("10.96.0.0/16")
API_SERVICE = SERVICE_CIDR[1]
"""The `kubernetes` Service: the first address of the range, by Kubernetes' own rule."""
DNS_SERVICE = SERVICE_CIDR[10]
POD_CIDR = ipaddress.IPv4Network("10.244.0.0/24")
CLUSTER_DOMAIN = "cluster.local"

PORTS = range(20000, 30000)
"""Below the ports that NodePorts use (30000 on), and those that the kernel hands out where nobody moved them (32768 on)."""

HANDED_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""First and last port that the kernel gives to whoever asks for any."""


def host_address() -> str:
    """The address that this machine uses to reach others. No packet is sent.

    Raises LocalClusterError without a route, or where it lies in the cluster's own ranges.
    """
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # TEST-NET-2 (RFC 5737): only asks the routing table
        except OSError as error:
            raise LocalClusterError(
                "this machine has no IPv4 route: give an interface an address and a default route"
            ) from error
        address = str(probe.getsockname()[0])
    for network in (SERVICE_CIDR, POD_CIDR):
        if ipaddress.IPv4Address(address) in network:
            raise LocalClusterError(f"this machine's address {address} lies in the cluster's own range {network}")
    return address


def free_ports(names: Iterable[str], is_free: Callable[[int], bool] | None = None) -> dict[str, int]:
    """A free port for each name, if possible none that the kernel may hand out to another while its owner is down.

    Else none that it gives to connections, which have the parity of the first (net/ipv4/inet_hashtables.c): who asks whether a
    server is there yet could be given that server's own port, and reach itself.
    Random, so that two clusters that start at the same time do not choose the same.

    Raises LocalClusterError when the range has too few.
    """
    is_free = is_free or port_is_free
    wanted = list(names)
    chosen: list[int] = []
    for port in sorted(random.sample(PORTS, len(PORTS)), key=_preference()):
        if len(chosen) == len(wanted):
            break
        if is_free(port):
            chosen.append(port)
    if len(chosen) < len(wanted):
        raise LocalClusterError(f"only {len(chosen)} of {len(wanted)} ports needed are free in {PORTS}")
    return dict(zip(wanted, chosen, strict=True))


def _preference() -> Callable[[int], int]:
    """0 for a port that the kernel hands out to nobody, 1 for one that it gives to servers, 2 to connections."""
    first, last = map(int, HANDED_OUT.read_text().split())
    return lambda port: 0 if not first <= port <= last else 1 + (port % 2 == first % 2)


def port_is_free(port: int) -> bool:
    """Whether nothing listens on a TCP port on any address of this machine, and nothing has its UDP twin."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with contextlib.closing(socket.socket(socket.AF_INET, kind)) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True
