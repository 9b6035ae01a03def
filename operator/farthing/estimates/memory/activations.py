"""Bytes that the backward pass needs from the forward pass, and what one layer needs while it is computed backwards."""

import numpy as np

from farthing.estimates.configuration import Attention, Checkpointing, Configurations, Floats, among
from farthing.estimates.constants_memory import MemoryConstants


def streams_split(c: Configurations) -> Floats:
    """What hidden-wide activations are divided by: tp under sequence parallelism, else nothing."""
    return np.where(c.sequence_parallel > 0, c.tp, 1.0)


def layer_bytes(c: Configurations, k: MemoryConstants) -> Floats:
    """Bytes a token that one layer without recomputation keeps on this device: c·(4h + 2q + 2kv + 4f | 2f) + eager norms.

    The inputs of the two column-parallel products are kept as gathered (nanotron, DTensor); Megatron gathers them again.
    """
    b, t, u = c.compute_bytes, c.tp, streams_split(c)
    widths = np.where(c.mlp_matrices >= 3, 4.0, 2.0) - np.where((c.has_adapter > 0) & (c.compiled > 0), 2.0, 0.0)
    widths = np.maximum(widths, 1.0)
    wide = b * (2.0 / u + 2.0) * c.hidden
    heads = b * (2.0 * c.query_width + 2.0 * c.kv_width) / t
    mlp = b * widths * c.active_ffn / t
    copies = b * 2.0 * c.experts_per_token * c.hidden / u * (c.experts > 0)
    return np.asarray(
        wide + heads + mlp + copies + norm_bytes(c, k) + score_bytes(c, k) + decomposed_bytes(c), dtype=np.float64
    )


def decomposed_bytes(c: Configurations) -> Floats:
    """What magnitudes (DoRA) need per token and layer for their gradients: outputs of the base and of the adapters, apart."""
    return 2.0 * c.compute_bytes * c.decomposed_width / c.tp


def norm_bytes(c: Configurations, k: MemoryConstants) -> Floats:
    """fp32 copies that norms keep per token and layer where they are neither compiled nor fused."""
    eager = (c.compiled == 0) & (c.fused_norms == 0)
    return np.where(eager, k.norm_bytes * c.hidden / streams_split(c), 0.0)


def score_bytes(c: Configurations, k: MemoryConstants) -> Floats:
    """Scores of eager attention that are kept per token and layer: fp32 softmax, and its copy where products are narrower."""
    kept = 4.0 + np.where(c.compute_bytes < 4, c.compute_bytes, 0.0)
    return among(c.attention, Attention.EAGER) * kept * c.heads / c.tp * c.longest_sequence


def moving_score_bytes(c: Configurations, k: MemoryConstants) -> Floats:
    """Gradients and copies of those scores in the backward pass of one layer, per token."""
    return among(c.attention, Attention.EAGER) * k.score_bytes * c.heads / c.tp * c.longest_sequence


def selective_bytes(c: Configurations, k: MemoryConstants) -> Floats:
    """Per token and layer under per-operation recomputation: layer input, attention output, every second product."""
    b, t = c.compute_bytes, c.tp
    mlp = np.where(c.mlp_matrices >= 3, 1.0, 0.5) * c.active_ffn
    return b * (3.0 * c.hidden / streams_split(c) + (c.query_width + c.kv_width + mlp) / t)


def input_bytes(c: Configurations) -> Floats:
    """The stored input of a recomputed layer, per token."""
    return c.residual_bytes * c.hidden / streams_split(c)


def kept_bytes(c: Configurations, k: MemoryConstants) -> Floats:
    """Mean bytes a token and layer that are kept from forward to backward."""
    whole, inputs = layer_bytes(c, k), input_bytes(c)
    mixed = inputs / c.checkpoint_every + whole * (1.0 - 1.0 / c.checkpoint_every)
    modes = c.checkpointing
    return np.select(
        [
            modes == Checkpointing.NONE,
            modes == Checkpointing.SELECTIVE_OP,
            modes == Checkpointing.SELECTIVE_EVERY_N,
            modes == Checkpointing.SELECTIVE_ATTENTION,
        ],
        [whole, selective_bytes(c, k), mixed, whole - score_bytes(c, k)],
        inputs,
    )


def stored_in_loss(c: Configurations, k: MemoryConstants, layers: Floats) -> Floats:
    """Of the last pipeline stage, before its backward pass begins: inputs as wide as the embedding that makes them.

    Interleaved stages hold chunks of several micro-batches even there. A residual wider than frozen embeddings is a second copy
    of layer inputs that only the backward pass holds.
    """
    micro_batches = np.maximum(c.accumulation, 1.0)
    chunks = np.minimum((c.vpp * c.pp - c.pp + 1.0) / c.vpp, micro_batches)
    stored = _stored(c, k, layers, np.where(c.vpp > 1, chunks, 1.0))
    twice = (c.has_adapter > 0) & (c.residual_bytes > c.frozen_other_bytes) & (c.checkpointing == Checkpointing.FULL)
    return np.where(twice, stored * c.frozen_other_bytes / c.residual_bytes, stored)


def stored_bytes(c: Configurations, k: MemoryConstants, layers: Floats) -> Floats:
    """Of the first pipeline stage: min(pp, m) micro-batches are in flight there, more if interleaved."""
    interleaved = np.where(c.vpp > 1, 1.0 + (c.pp - 1.0) / (c.pp * c.vpp), 1.0)
    return _stored(c, k, layers, np.minimum(c.pp * interleaved, np.maximum(c.accumulation, 1.0)))


def _stored(c: Configurations, k: MemoryConstants, layers: Floats, flight: Floats) -> Floats:
    """Of the layers of a stage; two layers' worth where the rest waits on the host."""
    a_layer = kept_bytes(c, k) * c.tokens
    stored = a_layer * layers * flight
    return np.where(c.offload_activations > 0, np.minimum(2.0 * a_layer, stored), stored)


def working_bytes(c: Configurations, k: MemoryConstants) -> Floats:
    """Of the one layer in the backward pass: gradients in flight, and its activations again where they are recomputed.

    Experts run one after another: the gradients of one are in flight.
    """
    again = layer_bytes(c, k) - np.where(c.checkpointing == Checkpointing.NONE, layer_bytes(c, k), 0.0)
    again = np.where(c.checkpointing == Checkpointing.SELECTIVE_OP, again - selective_bytes(c, k), again)
    again = np.where(c.checkpointing == Checkpointing.SELECTIVE_ATTENTION, score_bytes(c, k), again)
    at_once = np.where(c.experts > 0, c.experts_per_token / np.maximum(c.experts, 1.0), 1.0)
    moving = (
        at_once * k.gradient_width_bytes * c.compute_bytes / 2.0 * np.where(c.mlp_matrices >= 3, 1.0, 0.5) * c.active_ffn / c.tp
    )
    ring = np.where(c.cp > 1, 4.0 * c.kv_width / c.tp, 0.0)
    return (again + moving + ring + moving_score_bytes(c, k)) * c.tokens
