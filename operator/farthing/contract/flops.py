"""The one formula by which operator and trainer count floating-point operations.

Training costs 6 FLOPs per matmul parameter and token (2 forward, 4 backward) plus attention, `12·L·q·s` per token with full
(non-causal) counting: PaLM appendix B, arXiv:2204.02311. Budgets count what the hardware executes: recomputation included.
"""

from typing import Literal

from farthing.contract.shape import ModelShape

ActivationCheckpointing = Literal["None", "Full"]
Adapter = Literal["None", "LoRA"]


def forward_flops_per_token(shape: ModelShape, sequence_length: int) -> float:
    """FLOPs of one forward pass per token: 2·N_matmul + 4·L·q·s."""
    return 2.0 * shape.matmul_parameters + 4.0 * shape.layers * shape.query_width * sequence_length


def model_flops_per_token(shape: ModelShape, sequence_length: int, adapter: Adapter = "None") -> float:
    """FLOPs that one training token needs, without recomputation: `F` of `mfu = F × tokens/s ÷ peak`.

    Full training: 6·N_matmul + 12·L·q·s. LoRA: 4·N_matmul (no weight gradients for the frozen base) + 12·L·q·s.
    """
    per_parameter = 6.0 if adapter == "None" else 4.0
    return per_parameter * shape.matmul_parameters + 12.0 * shape.layers * shape.query_width * sequence_length


def executed_flops_per_token(
    shape: ModelShape,
    sequence_length: int,
    activation_checkpointing: ActivationCheckpointing = "None",
    adapter: Adapter = "None",
) -> float:
    """FLOPs that the hardware executes per training token: `model_flops_per_token` plus the recomputed forward.

    Full activation checkpointing runs the blocks' forward pass twice; the head is not recomputed.
    """
    recomputed = 0.0
    if activation_checkpointing == "Full":
        blocks = shape.layers * shape.layer_matmul_parameters
        recomputed = 2.0 * blocks + 4.0 * shape.layers * shape.query_width * sequence_length
    return model_flops_per_token(shape, sequence_length, adapter) + recomputed
