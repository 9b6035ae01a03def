"""Peak resident memory of one process of the CPU trainer by phase and term: closed forms for Llama-type models under AdamW.

For processes on CPU slots alone; GPUs are estimated by `farthing.estimates`.

Notation as in the literature: b sequences of s tokens, T = b·s tokens a process, h hidden, q and kv widths of queries and keys,
f ffn, V vocabulary, L layers, P parameters, n shard degree, c bytes of the compute dtype. The trainer keeps float32 parameters,
gradients and two AdamW moments (16 bytes a trainable parameter) and fuses head and cross-entropy. Checked against the trainer's
own peaks on one and two slots (tests/unit/planner).
"""

from dataclasses import dataclass
from math import ceil

from farthing.contract.flops import ActivationCheckpointing
from farthing.contract.runconfig import Grouping, Precision
from farthing.contract.shape import ModelShape

MASTER: int = 4
"""Bytes of a float32 parameter, gradient or moment; AdamW has two moments: arXiv:1711.05101."""
LOGIT_BYTES: float = 14.0
"""Bytes a logit of the chunk: 2 (bf16) + 4 (fp32) + 4 (log-softmax) + 4 (gradient), fitted on torchtitan's rows."""
EAGER_NORM_BYTES: float = 10.0
"""Bytes an element of h that eager float32 RMSNorms add per layer; compiled or fused norms: 0."""
SAFETY: float = 1.4
"""What admission multiplies the model's terms by: a resident set also holds what the C allocator does not give back. The
largest of ten settings of full training, unsharded, needed 1.34 times its terms (docs/results/cpu-memory.md)."""
SHARDED_SAFETY: float = 2.0
"""The same where states are sharded or adapters are trained, whose buffers come and go in many sizes: 1.98 was the largest of
six settings."""

Terms = dict[str, float]


@dataclass(frozen=True, slots=True)
class MemoryQuestion:
    """What the memory of one process depends on. `shards` > 1: FSDP2 over that many processes; 1: everything is held whole."""

    shape: ModelShape
    tokens: int
    """Tokens of one micro-batch on this process, T = b·s."""
    precision: Precision
    shards: int
    world: int
    grouping: Grouping
    activation_checkpointing: ActivationCheckpointing
    adapter_parameters: int = 0
    compile: bool = False

    @property
    def compute_bytes(self) -> int:
        """Bytes of an element in the matrix products."""
        return 2 if self.precision == "bfloat16" else 4

    @property
    def trainable(self) -> int:
        """Parameters that have gradients and moments."""
        return self.adapter_parameters or self.shape.parameters

    @property
    def held(self) -> int:
        """All parameters, adapters included."""
        return self.shape.parameters + self.adapter_parameters


def memory_terms(question: MemoryQuestion) -> dict[str, Terms]:
    """Bytes by phase and term. The peak of a process is the largest phase plus the runtime's baseline.

    Phases: `load` (one full tensor at a time is filled in), `loss`, `backward` (of the last layer, when all activations are
    still there), `optimizer`, and `save`, for the weights that are exported lie in the same memory.
    """
    states = _states(question)
    resting = {**states, "activations": _stored_activations(question)}
    resting_states = {name: states[name] for name in ("parameters", "optimizer states")}
    return {
        "load": {"parameters": states["parameters"], "full tensor": _full_tensor(question)},
        "loss": {**resting, "logits": _logits(question), "unsharded": _unsharded_in_loss(question)},
        "backward": {**resting, "working set": _working_set(question), "unsharded": _unsharded_in_backward(question)},
        "optimizer": {**states, "buffers": _reduction_buffer(question)},
        "save": {**resting_states, "exported weights": float(MASTER * question.trainable)},
    }


def _states(question: MemoryQuestion) -> Terms:
    """16 bytes a trainable parameter, 4 a frozen one, divided by the shard degree.

    Gradients count in every phase: with accumulation they are there in the forward pass too.
    """
    trainable = MASTER * question.trainable / question.shards
    return {
        "parameters": MASTER * question.held / question.shards,
        "gradients": trainable,
        "optimizer states": 2 * trainable,
    }


def layer_activation_bytes(question: MemoryQuestion) -> float:
    """Bytes a token and layer that the backward pass needs, with SDPA (no s² term).

    2(4h + 2q) + 4kv + 8f in 16 bits; eager float32 norms add 10h.
    """
    shape = question.shape
    elements = 4 * shape.hidden + 2 * shape.query_width + 2 * shape.kv_width + 4 * shape.ffn
    norms = 0.0 if question.compile else EAGER_NORM_BYTES * shape.hidden
    return question.compute_bytes * elements + norms


def _stored_activations(question: MemoryQuestion) -> float:
    """None: everything of every layer. Full: the input of each layer."""
    per_layer = layer_activation_bytes(question)
    if question.activation_checkpointing == "Full":
        per_layer = question.compute_bytes * question.shape.hidden
    return per_layer * question.shape.layers * question.tokens


def _working_set(question: MemoryQuestion) -> float:
    """Of the one layer in the backward pass: gradients of the SwiGLU's parts (4f), and under Full its activations again."""
    gradients = 4.0 * question.compute_bytes * question.shape.ffn
    again = layer_activation_bytes(question) if question.activation_checkpointing == "Full" else 0.0
    return (gradients + again) * question.tokens


def _logits(question: MemoryQuestion) -> float:
    """k·V·T of one chunk, for head and loss are fused, with the head's gradient beside it.

    A chunk is sized so that its logits are about as large as the hidden states: T·h/V rows, up to the next power of
    two (chunking by aspect ratio of torch's linear_cross_entropy).
    """
    shape, tokens = question.shape, question.tokens
    rows = ceil(tokens * shape.hidden / shape.vocabulary)
    chunk = min(tokens, 1 << (rows - 1).bit_length())
    return LOGIT_BYTES * shape.vocabulary * chunk + MASTER * shape.embedding_parameters


def _ends(question: MemoryQuestion) -> int:
    """Parameters outside the blocks: embedding, head, last norm. FSDP2's root unit holds them from forward to backward."""
    return question.shape.parameters - question.shape.layers * question.shape.layer_parameters


def _gathered_gradient_bytes(question: MemoryQuestion) -> int:
    """Bytes an unsharded trainable parameter needs while its gradient is reduced: the gradient and the float32 input."""
    return question.compute_bytes + MASTER if not question.adapter_parameters else 0


def _unsharded_in_loss(question: MemoryQuestion) -> float:
    """Whole parameters in the loss: all (Root), or the ends, the head's gradient on its way, and two prefetched layers."""
    if question.shards == 1:
        return _low_precision_copy(question)
    if question.grouping == "Root":
        return float(question.compute_bytes * question.held)
    ends = question.compute_bytes * _ends(question)
    head_gradient = _gathered_gradient_bytes(question) * question.shape.embedding_parameters
    return ends + head_gradient + 2 * question.compute_bytes * question.shape.layer_parameters


def _unsharded_in_backward(question: MemoryQuestion) -> float:
    """Whole parameters and their gradients in the backward pass: of all (Root), or of the ends and two layers."""
    if question.shards == 1:
        return _low_precision_copy(question)
    reduced = _gathered_gradient_bytes(question)
    if question.grouping == "Root":
        return float((question.compute_bytes + reduced) * question.held)
    layers = (2 * question.compute_bytes + reduced) * question.shape.layer_parameters
    ends = (question.compute_bytes + (question.compute_bytes if reduced else 0)) * _ends(question)
    return float(layers + ends)


def _low_precision_copy(question: MemoryQuestion) -> float:
    """Autocast keeps a 16-bit copy of the float32 weights during forward and backward."""
    return float(question.compute_bytes * question.held) if question.precision == "bfloat16" else 0.0


def _reduction_buffer(question: MemoryQuestion) -> float:
    """Unsharded gradients are averaged in one flat float32 buffer."""
    alone = question.shards > 1 or question.world == 1
    return 0.0 if alone else float(MASTER * question.trainable)


def _full_tensor(question: MemoryQuestion) -> float:
    """The largest parameter, whole: once on its way in, and once more, for the copy lives in the same memory."""
    largest = max(question.shape.embedding_parameters, question.shape.hidden * question.shape.ffn)
    return float(2 * MASTER * largest)
