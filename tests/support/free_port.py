"""A port for a server of a test."""

from farthing.local.network import free_ports


def free_port() -> int:
    """A port that nobody listens on."""
    return free_ports(["test"])["test"]
