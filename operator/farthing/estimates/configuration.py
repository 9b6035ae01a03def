"""Training configurations as columns: one array a property, one element a configuration.

Every estimate is arithmetic on these columns, so that a search over a grid, a file of measured runs and one single plan go the
same way. All columns of one `Configurations` have the same length; categories are small integers, listed by the enums below.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Category = TypeVar("Category", bound=IntEnum)


class Checkpointing(IntEnum):
    """Which activations are computed again: none, per operation, every n-th layer, the attention core alone, all."""

    NONE = 0
    SELECTIVE_OP = 1
    SELECTIVE_EVERY_N = 2
    SELECTIVE_ATTENTION = 3
    FULL = 4


class Loss(IntEnum):
    """How head and cross-entropy are computed; see SCHEMA `loss_impl`."""

    EAGER = 0
    COMPILED = 1
    FUSED_CE = 2
    FUSED_LINEAR = 3
    CHUNKED = 4


class Attention(IntEnum):
    """Whether the s × s scores are ever in memory: EAGER has them, SDPA and FLASH do not."""

    EAGER = 0
    SDPA = 1
    FLASH = 2


class Sharding(IntEnum):
    """What is split over the shard degree: nothing, optimizer states, + gradients, + parameters (FSDP)."""

    NONE = 0
    ZERO1 = 1
    ZERO2 = 2
    ZERO3 = 3


@dataclass(frozen=True, slots=True)
class Configurations:
    """n training runs, one per element. Counts are elements, memory is bytes, rates are per second; all columns are float64.

    Booleans are 0 or 1, categories the integers of their enum. Where a run has nothing of a kind (no adapter, no expert, one
    node), the column has 0 or 1 as its unit says, never NaN, except where NaN is said to mean unknown.
    """

    # model: from an `Architecture`, or from the dims of a measured row
    hidden: Floats
    layers: Floats
    heads: Floats
    query_width: Floats
    kv_width: Floats
    vocabulary: Floats
    active_ffn: Floats
    """Intermediate width that one token passes, mean over layers: f, or experts per token × expert width + shared ones."""
    mlp_matrices: Floats
    """3 for gated MLPs, 2 otherwise."""
    experts: Floats
    """Routed experts of a layer, mean over layers; 0 for dense models."""
    experts_per_token: Floats
    parameters: Floats
    """All of them, tied embeddings once."""
    embedding_parameters: Floats
    """vocabulary × hidden."""
    tied: Floats
    layer_parameters: Floats
    """All of one layer, every expert included, mean over layers."""
    layer_matmul_parameters: Floats
    """Those of one layer that a token is multiplied with: the active ones."""
    expert_parameters: Floats
    """Of all routed experts of one layer, mean over layers: what expert parallelism splits."""
    # hardware
    device_memory: Floats
    """Bytes that a process can use; NaN unknown."""
    peak_flops: Floats
    """Dense peak in the compute dtype (fp8 counts apart)."""
    peak_fp8_flops: Floats
    """Dense peak in 8 bits; 0 where the device has none."""
    memory_bandwidth: Floats
    link_bandwidth: Floats
    """One direction between devices of a node, bytes/s."""
    inter_node_bandwidth: Floats
    """One direction and device between nodes, bytes/s; NaN unknown."""
    devices_per_node: Floats
    is_cpu: Floats
    # layout
    devices: Floats
    dp: Floats
    """Replicas of the batch, sharded or not. dp · tp · pp · cp = devices; ep lies inside dp."""
    sharding: Floats
    """`Sharding`."""
    shard_degree: Floats
    tp: Floats
    sequence_parallel: Floats
    async_tp: Floats
    pp: Floats
    vpp: Floats
    """Model chunks per stage; 1 is plain 1F1B."""
    cp: Floats
    ep: Floats
    root_unit: Floats
    """1: the whole model is one FSDP unit; 0: one unit a layer."""
    # batch
    sequence_length: Floats
    """Tokens of one sequence over all context-parallel ranks; mean where lengths vary."""
    longest_sequence: Floats
    """What the peak is set by; the same as sequence_length for fixed lengths."""
    micro_batch: Floats
    accumulation: Floats
    """Micro-batches per step of one data-parallel rank; with pp > 1 those in the pipeline."""
    # precision and optimizer: bytes an element
    compute_bytes: Floats
    parameter_bytes: Floats
    """Of resident trainable parameters, as really kept (after a framework's upcast)."""
    frozen_bytes: Floats
    """Of resident frozen linear parameters; quantized bases below 2."""
    frozen_other_bytes: Floats
    """Of frozen embeddings, head and norms."""
    gradient_bytes: Floats
    """Of resident gradients."""
    extra_gradient_bytes: Floats
    """Of a second gradient copy (nanotron's bf16 gradients beside the accumulated ones)."""
    master_bytes: Floats
    """Of an fp32 copy beside 16-bit parameters; 0 without."""
    state_bytes: Floats
    """Of optimizer states per trainable parameter, block scales included."""
    step_transient_bytes: Floats
    """Per trainable parameter, only during the optimizer step (foreach: one copy)."""
    reduce_bytes: Floats
    """Of the dtype in which gradients are reduced (FSDP)."""
    residual_bytes: Floats
    """Of the residual stream and of stored layer inputs: 2, or 4 after an upcast."""
    autocast_copy: Floats
    """1: autocast keeps a 16-bit copy of wider unsharded weights."""
    fp8: Floats
    # adapters
    trainable: Floats
    """Trainable parameters: all, or the adapters'."""
    has_adapter: Floats
    quantized: Floats
    """1: base weights in 4 or 8 bits, dequantized on the fly."""
    decomposed_width: Floats
    """Outputs of a layer's matrices under weight-decomposed adapters (DoRA), all together; 0 without."""
    decomposed_parameters: Floats
    """Weights of those matrices: what each pass merges with the adapters, to take its norms."""
    # activations and kernels
    checkpointing: Floats
    """`Checkpointing`."""
    checkpoint_every: Floats
    """n of SELECTIVE_EVERY_N; 1 otherwise."""
    attention: Floats
    """`Attention`."""
    loss: Floats
    """`Loss`."""
    compiled: Floats
    fused_norms: Floats
    """1: norms and rotary positions are fused kernels even without compile."""
    optimizer_in_backward: Floats
    offload_states: Floats
    """1: parameters and optimizer states live on the host."""
    offload_activations: Floats
    variable_length: Floats
    """1: batches differ in length, which fragments the allocator."""
    expandable_segments: Floats
    """1: the caching allocator's segments grow (PYTORCH_CUDA_ALLOC_CONF), which leaves hardly any fragments."""

    def __post_init__(self) -> None:
        lengths = {len(getattr(self, each.name)) for each in fields(self)}
        if len(lengths) != 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.hidden)

    @property
    def tokens(self) -> Floats:
        """T: tokens of one micro-batch on one device, after context parallelism."""
        return self.micro_batch * self.longest_sequence / self.cp

    def take(self, chosen: npt.NDArray[Any]) -> "Configurations":
        """Those at the given positions, or where the mask is true."""
        return Configurations(**{each.name: getattr(self, each.name)[chosen] for each in fields(self)})


def configurations(columns: Mapping[str, Any]) -> Configurations:
    """Columns of numbers or arrays, broadcast to one length. Raises ValueError that names missing or unknown columns."""
    names = [each.name for each in fields(Configurations)]
    missing, unknown = sorted(set(names) - set(columns)), sorted(set(columns) - set(names))
    if missing or unknown:
        raise ValueError(f"columns: missing {missing}, unknown {unknown}")
    arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(columns[name], dtype=np.float64)) for name in names))
    return Configurations(**dict(zip(names, arrays, strict=True)))


def among(codes: Floats, *members: IntEnum) -> Floats:
    """1 where the code is one of the members, else 0."""
    return np.isin(codes, [int(member) for member in members]).astype(np.float64)
