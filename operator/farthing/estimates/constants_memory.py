"""Free constants of the memory estimate: what cannot be counted from tensors, how each was found, and what it stands for.

Everything that can be counted (states, widths of activations, gathered parameters) is in `estimates.memory` and not here.
Fields named in `FITTED` are fitted by `fit_memory`; their counted value is its prior, their spread how far it may move. The
values below are those of a fit to all rows of the ground truth.
"""

from dataclasses import dataclass
from types import MappingProxyType

GIB: float = 2.0**30


@dataclass(frozen=True, slots=True)
class MemoryConstants:
    """Bytes per logit, element or score; bytes of a process; ratios."""

    wide_logit_bytes: float = 11.95
    """fp32 bytes a logit beside the logits themselves: copy, log-softmax, gradient (4 + 4 + 4)."""
    compiled_logit_bytes: float = 3.83
    """Bytes a logit where softmax and its gradient are one kernel: 16-bit logits and their gradient (2 + 2)."""
    fused_logit_bytes: float = 8.13
    """Bytes a logit of an in-place kernel after an upcast: 16-bit logits, fp32 copy, 16-bit gradient (2 + 4 + 2)."""
    chunks: float = 8.0
    """Chunks of a chunked cross-entropy: the common default. Not fitted."""
    norm_bytes: float = 10.2
    """Bytes an element of the hidden width that eager fp32 RMSNorms keep per layer: a copy a norm and the product."""
    score_bytes: float = 10.9
    """Bytes a score that the backward pass of eager attention moves: fp32 gradients of softmax and scores, a 16-bit copy."""
    gradient_width_bytes: float = 6.54
    """Bytes a token and intermediate unit of the MLP's gradients in flight in one layer, in 16 bits: gate, up,
    product and their sum (4 × 2)."""
    context_bytes: float = 0.14 * GIB
    """CUDA context of one process: 141 MiB measured on a T4 with torch 2.10. Not fitted."""
    communication_bytes: float = 1.0 * GIB
    """More where several devices talk: channels and buffers of NCCL. General knowledge of H100 nodes, not fitted."""
    reserved_fixed: float = 1.23
    """Reserved ÷ allocated of what comes and goes within a step, batches of equal length: rounding and fragments.
    Nothing is left where segments are expandable."""
    reserved_variable: float = 1.55
    """The same where lengths vary: blocks of one size do not serve the next."""
    safe_states: float = 1.01
    """Margin of admission on what stays from step to step, which is counted: rounding of small tensors. Not fitted."""
    safe_active: float = 1.13
    """Margin of admission on the rest: covers 98.5 of 100 measured allocations, sources with equal
    weight, within bounds of 8 and 13 %."""


FITTED = MappingProxyType({
    "wide_logit_bytes": (12.0, 0.05),
    "compiled_logit_bytes": (4.0, 0.1),
    "fused_logit_bytes": (8.0, 0.1),
    "norm_bytes": (10.0, 0.1),
    "score_bytes": (9.0, 0.3),
    "gradient_width_bytes": (8.0, 0.2),
    "reserved_fixed": (1.15, 0.1),
    "reserved_variable": (1.4, 0.3),
})  # fmt: skip
"""Constant → counted value, and standard deviation of its logarithm before any row is seen."""
