"""Collectives of each parallelism over the link that they cross, in seconds on one device.

Ranks are placed tensor-parallel first, then context, data and pipeline, so that the inner groups stay inside a node.
"""

import numpy as np

from farthing.estimates.configuration import Configurations, Floats, Sharding
from farthing.estimates.constants_time import TimeConstants
from farthing.estimates.throughput.compute import tokens
from farthing.estimates.throughput.passes import elementwise_again

HOST_LINK = 2.5e10
"""Bytes/s between one device and its host that pinned copies reach over PCIe 4.0 × 16; eight of them are what the memory of a
host of eight channels moves."""


def ring_bandwidth(c: Configurations, k: TimeConstants, inner: Floats, size: Floats) -> Floats:
    """Bytes/s of a ring over `size` groups of `inner` neighbouring ranks: the link, or the share of the node's network that the
    members inside one node have together."""
    link = c.link_bandwidth * k.link_efficiency
    network = np.where(np.isnan(c.inter_node_bandwidth), k.network_default, c.inter_node_bandwidth) * k.network_efficiency
    together = np.clip(c.devices_per_node / inner, 1.0, size)
    return np.where(inner * size > c.devices_per_node, np.minimum(link, network * together), link)


def latency(c: Configurations, k: TimeConstants, size: Floats) -> Floats:
    """Seconds before the last byte moves: twice round the node's ring, and up and down the tree of nodes."""
    inside = np.minimum(size, c.devices_per_node)
    return 2.0 * k.hop_latency * (inside - 1.0 + np.log2(size / inside))


def sharded_layer(c: Configurations, k: TimeConstants) -> Floats:
    """FSDP of one layer and micro-batch: gather for forward and backward, scatter of gradients. Overlaps with arithmetic.

    Routed experts that `ep` ranks split are gathered from the ranks that hold the same ones only. A model that is one unit is
    gathered once, and stays until its backward pass has ended."""
    n, same = c.shard_degree, np.maximum(c.shard_degree / c.ep, 1.0)
    routed = c.expert_parameters / c.ep
    moved = (c.layer_parameters - c.expert_parameters) * (n - 1) / n + routed * (same - 1) / same
    sharded = (c.sharding == Sharding.ZERO3) & (n > 1)
    times = np.where(c.root_unit > 0, 1.0, 2.0)
    gathered = np.where(c.has_adapter > 0, np.minimum(c.frozen_bytes, 2.0), c.compute_bytes)
    scattered = np.where(c.has_adapter > 0, 0.0, c.reduce_bytes)
    carried = (times * gathered + scattered) * moved / c.tp
    collectives = np.where(c.root_unit > 0, 2.0 / c.layers, 3.0)
    seconds = k.shard_overhead * carried / ring_bandwidth(c, k, c.tp, n) + collectives * latency(c, k, n)
    return np.where(sharded, seconds, 0.0)


def offloaded_layer(c: Configurations, k: TimeConstants) -> Floats:
    """Offloaded states of one layer and micro-batch: its shard of parameters from the host for forward and backward, its
    gradients back. Overlaps with arithmetic; no measured run stands behind it."""
    brought = 2.0 * np.where(c.has_adapter > 0, c.frozen_bytes, c.parameter_bytes)
    returned = np.where(c.has_adapter > 0, 0.0, c.gradient_bytes)
    held = (c.layer_parameters - c.expert_parameters * (1.0 - 1.0 / c.ep)) / c.tp / np.maximum(c.shard_degree, 1.0)
    return c.offload_states * (brought + returned) * held / HOST_LINK


def tensor_layer(c: Configurations, k: TimeConstants) -> Floats:
    """All-reduces (or gather and scatter) around attention and MLP, forward, backward, again; half hidden if asynchronous."""
    carried = 2.0 * 2.0 * (c.tp - 1) / c.tp * tokens(c) * c.hidden * c.compute_bytes
    once = carried / ring_bandwidth(c, k, np.ones_like(c.tp), c.tp) + 2.0 * latency(c, k, c.tp)
    exposed = np.where(c.async_tp > 0, 0.5, 1.0)
    return np.where(c.tp > 1, (2.0 + elementwise_again(c)) * exposed * once, 0.0)


def context_layer(c: Configurations, k: TimeConstants) -> Floats:
    """Keys and values passed round the ring, forward and twice backward. Overlaps with attention."""
    carried = 3.0 * 2.0 * c.kv_width * c.compute_bytes * tokens(c) * (c.cp - 1) / c.tp
    return np.where(c.cp > 1, carried / ring_bandwidth(c, k, c.tp, c.cp) + 3.0 * (c.cp - 1) * k.collective_launch, 0.0)


def expert_layer(c: Configurations, k: TimeConstants) -> Floats:
    """Tokens to their experts and back, forward, backward and again."""
    carried = 2.0 * tokens(c) * c.experts_per_token * c.hidden * c.compute_bytes * (c.ep - 1) / c.ep
    once = carried / ring_bandwidth(c, k, c.tp, c.ep) + 2.0 * latency(c, k, c.ep)
    return np.where(c.ep > 1, (2.0 + elementwise_again(c)) * once, 0.0)


def pipeline_hop(c: Configurations, k: TimeConstants) -> Floats:
    """Activations to the next stage and gradients back, for one micro-batch and chunk."""
    carried = 2.0 * tokens(c) * c.hidden * c.compute_bytes / np.where(c.sequence_parallel > 0, c.tp, 1.0)
    return np.where(c.pp > 1, carried / ring_bandwidth(c, k, c.devices / c.pp, c.pp) + 2 * k.collective_launch, 0.0)


def gradients(c: Configurations, k: TimeConstants) -> Floats:
    """All-reduce of gradients over the replicas that hold no shard of each other, once a step; not overlapped.

    Sharded gradients (ZeRO 2) are reduced after every micro-batch: nobody keeps them whole. Unsharded gradients leave the
    backward pass, and travel, in the dtype of the parameters."""
    replicas = np.where(c.sharding == Sharding.ZERO3, c.dp * c.cp / c.shard_degree, c.dp * c.cp)
    held = c.trainable / c.tp / c.pp / np.where(c.sharding == Sharding.ZERO3, c.shard_degree, 1.0)
    width = np.minimum(c.reduce_bytes, np.where(c.sharding == Sharding.ZERO3, c.reduce_bytes, c.parameter_bytes))
    carried = 2.0 * (replicas - 1) / replicas * held * width
    once = np.where(replicas > 1, carried / ring_bandwidth(c, k, c.tp, replicas) + latency(c, k, replicas), 0.0)
    return once * np.where(c.sharding == Sharding.ZERO2, c.accumulation, 1.0)
