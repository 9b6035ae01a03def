"""How often each part of a layer runs in a step, in units of its forward pass."""

import numpy as np

from farthing.estimates.configuration import Checkpointing, Configurations, Floats

SECOND_MATMUL = 0.5
"""Share of matmuls that per-operation checkpointing computes again (torchtitan: every second one)."""


def _again(c: Configurations, per_operation: float, attention_alone: float) -> Floats:
    """Share of a forward pass that is computed again in the backward pass."""
    shares = np.array([0.0, per_operation, 0.0, attention_alone, 1.0])[c.checkpointing.astype(np.int64)]
    return np.where(c.checkpointing == Checkpointing.SELECTIVE_EVERY_N, 1.0 / c.checkpoint_every, shares)


def matmuls_again(c: Configurations) -> Floats:
    """Of the matrices' products."""
    return _again(c, SECOND_MATMUL, 0.0)


def attention_again(c: Configurations) -> Floats:
    """Of the attention core; per-operation checkpointing keeps its output."""
    return _again(c, 0.0, 1.0)


def elementwise_again(c: Configurations) -> Floats:
    """Of norms, activations and additions."""
    return _again(c, 1.0, 0.0)


def weight_gradients(c: Configurations) -> Floats:
    """1 where base weights have gradients of their own, 0 under frozen ones."""
    return 1.0 - c.has_adapter
