"""Logits: the memory of head and cross-entropy, k·V·T or that of a chunk."""

import numpy as np

from farthing.estimates.configuration import Configurations, Floats, Loss
from farthing.estimates.constants_memory import MemoryConstants
from farthing.estimates.memory.states import Split
from farthing.estimates.memory.unsharded import sharded


def logit_bytes(c: Configurations, k: MemoryConstants) -> Floats:
    """Bytes of logits, their copies and gradient of one micro-batch on this device."""
    # eager: counted fp32 copies; chunked: 16-bit logits of all tokens wait in a list, one chunk is worked on
    tokens = c.tokens
    whole = np.select(
        [c.loss == Loss.EAGER, c.loss == Loss.COMPILED, c.loss == Loss.FUSED_CE],
        [c.compute_bytes + k.wide_logit_bytes, k.compiled_logit_bytes, k.fused_logit_bytes],
        0.0,
    )
    chunk = np.where(c.compiled > 0, k.compiled_logit_bytes, c.compute_bytes + k.wide_logit_bytes)
    of_linear = chunk * linear_chunk(c)
    of_chunks = c.compute_bytes * tokens + chunk * tokens / k.chunks
    found = np.select([c.loss == Loss.FUSED_LINEAR, c.loss == Loss.CHUNKED], [of_linear, of_chunks], whole * tokens)
    return found * c.vocabulary / c.tp


def input_bytes(c: Configurations) -> Floats:
    """The last norm's output, whole even under sequence parallelism, and its gradient."""
    return 2.0 * c.compute_bytes * c.hidden * c.tokens


def linear_chunk(c: Configurations) -> Floats:
    """Rows of a chunk of a fused head: T·h/V, up to a power of two, so that logits are about as large as the hidden states."""
    rows = np.maximum(np.ceil(c.tokens * c.hidden / c.vocabulary), 1.0)
    return np.minimum(c.tokens, 2.0 ** np.ceil(np.log2(rows)))


def head_bytes(c: Configurations, s: Split, resting: Floats) -> Floats:
    """The head's gradient, the first of the backward pass, where no resting gradients hold it and no gathered weights count it;
    nothing where the head is frozen."""
    absent = (resting <= 0) & (sharded(c, s) == 0) & (c.has_adapter == 0)
    return np.where(absent, c.gradient_bytes * c.embedding_parameters / c.tp, 0.0)
