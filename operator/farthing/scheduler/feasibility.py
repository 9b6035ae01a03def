"""Whether a whole gang fits on a pool's nodes, and where: a gang is placed as a whole or not at all."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from farthing.domain.plan import Allocation
from farthing.domain.scheduling import NodeCapacity


def place(allocation: Allocation, nodes: Sequence[NodeCapacity]) -> tuple[str, ...] | None:
    """The node of each pod, or None where the whole gang does not fit.

    Best fit: the fullest single node that takes the whole gang, since one node's links are faster than the network's; else
    pod by pod the fullest node that still takes one, so that large holes stay whole. Ties go by name.
    """
    size = allocation.accelerators_per_pod
    ordered = sorted(nodes, key=lambda node: (node.free, node.node))
    whole = next((node for node in ordered if node.free >= allocation.accelerators), None)
    if whole is not None:
        return (whole.node,) * allocation.pods
    seats = [node.node for node in ordered for _ in range(max(0, node.free) // size)]
    return tuple(seats[: allocation.pods]) if len(seats) >= allocation.pods else None


def taken(nodes: Sequence[NodeCapacity], seats: Iterable[str], accelerators_per_pod: int) -> tuple[NodeCapacity, ...]:
    """The nodes after pods took these seats."""
    return shifted(nodes, {node: -pods * accelerators_per_pod for node, pods in Counter(seats).items()})


def freed(nodes: Sequence[NodeCapacity], seats: Iterable[str], accelerators_per_pod: int) -> tuple[NodeCapacity, ...]:
    """The nodes after pods left these seats; nodes that are not there (not ready) free nothing."""
    return shifted(nodes, {node: pods * accelerators_per_pod for node, pods in Counter(seats).items()})


def shifted(nodes: Sequence[NodeCapacity], change: Mapping[str, int]) -> tuple[NodeCapacity, ...]:
    """The nodes with `change` accelerators more (or fewer) free, never more than they have."""
    return tuple(NodeCapacity(n.node, n.total, min(n.total, n.free + change.get(n.node, 0))) for n in nodes)


def could_ever_fit(allocation: Allocation, nodes: Sequence[NodeCapacity]) -> bool:
    """Whether the gang fits when every node is empty."""
    return place(allocation, tuple(NodeCapacity(n.node, n.total, n.total) for n in nodes)) is not None
