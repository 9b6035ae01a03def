"""Bytes that live from step to step: parameters, gradients, master copies and optimizer states of one device."""

from dataclasses import dataclass

import numpy as np

from farthing.estimates.configuration import Configurations, Floats, Sharding


@dataclass(frozen=True, slots=True)
class Split:
    """Parameters (counts) of a rank of one pipeline stage before sharding, and by what each kind of state is divided."""

    held: Floats
    """All parameters of the rank after tensor, pipeline and expert parallelism."""
    trainable: Floats
    ends: Floats
    """Of `held`: outside the blocks (embedding, head, last norm)."""
    layer: Floats
    """Parameters of one layer on this rank."""
    stage_layers: Floats
    """Layers of the stage."""
    experts: Floats
    """Of `held`: routed experts. Where `ep` ranks split them, only the other ranks of the sharding group divide them again."""
    parameter_shards: Floats
    gradient_shards: Floats
    state_shards: Floats
    expert_ranks: Floats
    """`ep`, by which the shards of experts are fewer."""

    def divided(self, count: Floats, shards: Floats) -> Floats:
        """Parameters of `count` that one of so many shards holds; experts in proportion to `held`."""
        routed = count * self.experts / self.held
        return (count - routed) / shards + routed / np.maximum(shards / self.expert_ranks, 1.0)


def stages(c: Configurations) -> tuple[Split, Split]:
    """First and last pipeline stage; the same where there is one.

    Stages are cut to equal work, and the head is worth as many layers as it has their weights (nanotron; others leave that to
    their configuration). The first stage is never smaller than an equal cut makes it.
    """
    head = c.embedding_parameters / c.layer_matmul_parameters
    share = (c.layers + head) / c.pp
    first = np.clip(np.round(share), np.ceil(c.layers / c.pp), np.maximum(c.layers - c.pp + 1.0, 1.0))
    rest = np.where(c.pp == 2, c.layers - first, np.ceil(share - head))
    last = np.clip(rest, 1.0, np.ceil(c.layers / c.pp))
    return split(c, np.where(c.pp > 1, first, c.layers)), split(c, np.where(c.pp > 1, last, c.layers))


def split(c: Configurations, stage_layers: Floats) -> Split:
    """How a stage of so many layers, with embedding or head, is cut."""
    layer = (c.layer_parameters - c.expert_parameters * (1.0 - 1.0 / c.ep)) / c.tp
    all_ends = np.maximum(c.parameters - c.layers * c.layer_parameters, c.embedding_parameters)
    ends = np.where(c.pp > 1, np.minimum(c.embedding_parameters, all_ends), all_ends) / c.tp
    held = stage_layers * layer + ends
    routed = stage_layers * c.expert_parameters / c.ep / c.tp
    share = np.where(c.has_adapter > 0, c.trainable * stage_layers / c.layers / c.tp, held)
    shards = np.maximum(c.shard_degree, 1.0)

    def by(level: Sharding) -> Floats:
        return np.where(c.sharding >= level, shards, 1.0)

    shard_counts = (by(Sharding.ZERO3), by(Sharding.ZERO2), by(Sharding.ZERO1))
    return Split(held, share, ends, layer, stage_layers, routed, *shard_counts, c.ep)


def parameter_bytes(c: Configurations, s: Split) -> Floats:
    """Resident parameters of the device: trainable ones, and frozen linear and other ones where adapters are trained."""
    frozen = (s.held - s.ends) * c.frozen_bytes + s.ends * c.frozen_other_bytes
    whole = np.where(c.has_adapter > 0, frozen + s.trainable * c.parameter_bytes, s.held * c.parameter_bytes)
    return s.divided(whole, s.parameter_shards) * (1.0 - c.offload_states)


def gradient_bytes(c: Configurations, s: Split) -> Floats:
    """Resident gradients; none where the optimizer runs inside the backward pass."""
    resident = (1.0 - c.optimizer_in_backward) * (1.0 - c.offload_states)
    return s.divided(s.trainable, s.gradient_shards) * c.gradient_bytes * resident


def extra_gradient_bytes(c: Configurations, s: Split) -> Floats:
    """A second copy of the gradients, never sharded."""
    return s.trainable * c.extra_gradient_bytes


def state_bytes(c: Configurations, s: Split) -> Floats:
    """Optimizer states."""
    return s.divided(s.trainable, s.state_shards) * c.state_bytes * (1.0 - c.offload_states)


def master_bytes(c: Configurations, s: Split) -> Floats:
    """fp32 copies beside 16-bit parameters."""
    return s.divided(s.trainable, s.state_shards) * c.master_bytes * (1.0 - c.offload_states)


def step_bytes(c: Configurations, s: Split) -> Floats:
    """Temporary copies of a foreach optimizer step."""
    return s.divided(s.trainable, s.state_shards) * c.step_transient_bytes * (1.0 - c.offload_states)
