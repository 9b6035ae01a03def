"""Whole parameters and gradients that exist for a moment where they are sharded or on the host, are dequantized or cast."""

import numpy as np

from farthing.estimates.configuration import Configurations, Floats
from farthing.estimates.memory.states import Split


def sharded(c: Configurations, s: Split) -> Floats:
    """1 where parameters are gathered, from other devices or from the host."""
    return ((s.parameter_shards > 1) | (c.offload_states > 0)).astype(np.float64)


def reduced_bytes(c: Configurations) -> Floats:
    """Bytes an unsharded trainable parameter needs while it is reduced: its gradient and the reduction's input."""
    return np.where(c.has_adapter > 0, 0.0, c.compute_bytes + c.reduce_bytes)


def gathered_bytes(c: Configurations) -> Floats:
    """Bytes of a gathered block parameter: compute dtype, or what a quantized base is kept in."""
    return np.where(c.quantized > 0, c.frozen_bytes, c.compute_bytes)


def in_loss(c: Configurations, s: Split) -> Floats:
    """The ends, the head's gradient on its way, and two prefetched layers; everything if the model is one unit."""
    head = c.embedding_parameters / c.tp
    units = c.compute_bytes * s.ends + reduced_bytes(c) * head + 2.0 * gathered_bytes(c) * s.layer
    return sharded(c, s) * np.where(c.root_unit > 0, c.compute_bytes * s.held, units)


def in_backward(c: Configurations, s: Split) -> Floats:
    """Two layers with the gradients of one, and the ends."""
    units = (2.0 * gathered_bytes(c) + reduced_bytes(c)) * s.layer + c.compute_bytes * s.ends
    return sharded(c, s) * np.where(c.root_unit > 0, (c.compute_bytes + reduced_bytes(c)) * s.held, units)


def weight_bytes(c: Configurations) -> Floats:
    """The largest weight, dequantized on the fly."""
    largest = c.hidden * np.maximum(c.active_ffn, c.query_width) / c.tp
    return np.where(c.quantized > 0, c.compute_bytes * largest, 0.0)


def merged_bytes(c: Configurations) -> Floats:
    """The largest weight merged with its adapter, whose norm DoRA takes: adapter's product, its scaled copy, and the sum."""
    largest = c.hidden * np.maximum(c.active_ffn, c.query_width) / c.tp
    return np.where(c.decomposed_parameters > 0, 3.0 * c.compute_bytes * np.minimum(largest, c.decomposed_parameters), 0.0)


def cast_bytes(c: Configurations, s: Split) -> Floats:
    """Autocast's 16-bit copy of weights that are wider than that and not gathered."""
    full = np.where(c.parameter_bytes > c.compute_bytes, s.held, 0.0)
    frozen = np.where(c.frozen_bytes > c.compute_bytes, s.held, 0.0)
    wide = np.where(c.has_adapter > 0, frozen, full)
    return np.where(sharded(c, s) > 0, 0.0, c.autocast_copy * c.compute_bytes * wide)
