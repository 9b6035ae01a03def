"""Host time that a layer's kernels take to launch, in seconds a micro-batch."""

import numpy as np

from farthing.estimates.configuration import Attention, Configurations, Floats, Sharding
from farthing.estimates.constants_time import TimeConstants
from farthing.estimates.throughput.passes import elementwise_again

SOFTMAX_BATCH = 4.0
"""Attention matrices that one launch of the fused softmax takes together."""


def launches(c: Configurations, k: TimeConstants) -> Floats:
    """Forward, backward and what runs again; adapters launch kernels of their own, DoRA's twice as many (assumed)."""
    passes = 2.0 + elementwise_again(c)
    once = np.where(c.compiled > 0, k.launch_compiled, k.launch_eager)
    adapters = c.has_adapter * (1.0 + (c.decomposed_width > 0))
    apart = k.launch_adapter * adapters + k.launch_expert * (c.experts > 0) + k.launch_softmax * unfused_softmax(c)
    kernels = once * (1.0 + apart)
    collectives = 2.0 * k.collective_launch * ((c.tp > 1) * 1.0 + (c.ep > 1))
    return np.asarray(passes * (kernels + collectives + units(c) * k.launch_unit), dtype=np.float64)


def unfused_softmax(c: Configurations) -> Floats:
    """1 where eager attention has a fused softmax but not for this shape: Megatron's kernel takes batches × heads of a rank in
    fours (`is_kernel_available`), and what it does not take goes through scale, mask, softmax and casts one by one."""
    fused = (c.attention == Attention.EAGER) & (c.fused_norms > 0)
    return np.where(fused & (np.mod(c.micro_batch * c.heads / c.tp, SOFTMAX_BATCH) != 0), 1.0, 0.0)


def units(c: Configurations) -> Floats:
    """FSDP units of a layer: one, and one for each half of an unfused adapter, which is trained and so kept apart; its share of
    one where the whole model is one."""
    sharded = (c.sharding == Sharding.ZERO3) & (c.shard_degree > 1)
    apart = np.where((c.has_adapter > 0) & (c.fused_norms == 0), 2.0 * (4.0 + c.mlp_matrices), 0.0)
    return np.where(sharded, np.where(c.root_unit > 0, 1.0 / c.layers, 1.0) + apart, 0.0)
