"""Rates of a pool's accelerators as the estimators take them: the datasheet's, or what the pool says of itself."""

from math import nan

from farthing.domain.planning import PoolOffer
from farthing.estimates.constants_time import TimeConstants
from farthing.estimates.throughput.sustained import UNKNOWN_SHARE
from farthing.planner.offers import measured_precision


def peak_flops(offer: PoolOffer, precision: str, published: float | None) -> float | None:
    """FLOP/s that the estimators turn into sustained ones; a rate measured on the pool counts as sustained."""
    measured = offer.measured_flops_per_second
    return measured / UNKNOWN_SHARE if measured is not None and measured_precision(offer) == precision else published


def memory_bandwidth(offer: PoolOffer, published: float | None) -> float | None:
    """Bytes/s of the datasheet; a bandwidth measured on the pool counts as what streaming kernels reach."""
    measured = offer.measured_memory_bandwidth
    return published if measured is None else measured / TimeConstants().memory_efficiency


def network_bandwidth(offer: PoolOffer) -> float:
    """Bytes/s of one accelerator between nodes, one way: its part of its node's. NaN where the pool does not say."""
    node = offer.network_bytes_per_second
    return nan if node is None else node / offer.accelerators_per_node
