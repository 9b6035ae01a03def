"""The optimizer step, in seconds on one device."""

import numpy as np

from farthing.estimates.configuration import Configurations, Floats, Sharding
from farthing.estimates.constants_time import TimeConstants
from farthing.estimates.throughput.communication import HOST_LINK
from farthing.estimates.throughput.compute import bandwidth


def optimizer(c: Configurations, k: TimeConstants) -> Floats:
    """Reads gradients, reads and writes parameters, master copy and states; offloaded ones at the pace of the host."""
    moved = 2.0 * (c.parameter_bytes + c.master_bytes + c.state_bytes) + 2.0 * c.gradient_bytes + c.step_transient_bytes
    share = np.where(c.sharding > Sharding.NONE, c.shard_degree, 1.0)
    held = c.trainable / c.tp / c.pp / share
    rate = np.where(c.offload_states > 0, np.minimum(HOST_LINK, bandwidth(c, k)), bandwidth(c, k))
    return k.optimizer_traffic * moved * held / rate
