"""Free constants of the memory estimate: what cannot be counted from tensors, how each was found, and what it stands for.

Everything that can be counted (states, widths of activations, gathered parameters) is in `estimates.memory` and not here.
Values are those of `fitting_memory.fit_memory` on all rows of the ground truth; the counted value of each is its prior.
"""

from dataclasses import dataclass

from farthing.estimates.constants import Constants, constant
from farthing.units import GIB

KNOWN = "not fitted: "
COVERAGE = "fitted: covers 98.5 of 100 measured allocations, sources with equal weight, within bounds of 8 and 13 %"


@dataclass(frozen=True, slots=True)
class MemoryConstants(Constants):
    """Bytes per logit, element or score; bytes of a process; ratios."""

    wide_logit_bytes: float = constant(
        11.84, 12.0, 0.05, "fp32 bytes a logit beside the logits themselves: copy, log-softmax, gradient (4 + 4 + 4)"
    )
    compiled_logit_bytes: float = constant(
        3.832, 4.0, 0.1, "bytes a logit where softmax and its gradient are one kernel: 16-bit logits and their gradient (2 + 2)"
    )
    fused_logit_bytes: float = constant(
        8.127,
        8.0,
        0.1,
        "bytes a logit of an in-place kernel after an upcast: 16-bit logits, fp32 copy, 16-bit gradient (2 + 4 + 2)",
    )
    chunks: float = constant(8.0, 8.0, 0.0, "chunks of a chunked cross-entropy", KNOWN + "the common default")
    norm_bytes: float = constant(
        9.941, 10.0, 0.1, "bytes an element of the hidden width that eager fp32 RMSNorms keep per layer: copies and the product"
    )
    score_bytes: float = constant(
        10.94,
        9.0,
        0.3,
        "bytes a score that eager attention's backward pass moves: fp32 gradients of softmax and scores, a copy",
    )
    gradient_width_bytes: float = constant(
        6.552,
        8.0,
        0.2,
        "bytes a token and intermediate unit of the MLP's gradients in flight in one layer: gate, up, product, sum",
    )
    context_bytes: float = constant(
        0.14 * GIB, 0.14 * GIB, 0.0, "CUDA context of one process", KNOWN + "141 MiB measured on a T4 with torch 2.10"
    )
    communication_bytes: float = constant(
        1.0 * GIB, 1.0 * GIB, 0.0, "more where several devices talk: channels and buffers of NCCL",
        KNOWN + "general knowledge of H100 nodes",
    )  # fmt: skip
    reserved_fixed: float = constant(
        1.231, 1.15, 0.1, "reserved ÷ allocated of what comes and goes within a step, equal lengths: rounding and fragments"
    )
    reserved_variable: float = constant(
        1.549, 1.4, 0.3, "the same where lengths vary: blocks of one size do not serve the next"
    )
    safe_states: float = constant(
        1.01,
        1.01,
        0.0,
        "margin of admission on what stays from step to step: rounding of small tensors",
        KNOWN + "it is counted",
    )
    safe_active: float = constant(1.13, 1.1, 0.0, "margin of admission on what comes and goes within a step", COVERAGE)
