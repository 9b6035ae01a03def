"""What the search over everything legal is asked: a model, pools, what is left of a budget, and what the user fixed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from farthing.api.amounts import Axis
from farthing.domain.planning import PoolOffer, RuntimeProfile
from farthing.models import Architecture

KNOBS = (
    "precision", "sharding", "tp", "sequence_parallel", "pp", "vpp", "cp", "ep", "checkpointing", "micro_batch", "optimizer",
    "adapter", "attention", "loss", "compile", "offload", "devices",
)  # fmt: skip
"""What a user may fix, by the name of the column that a choice shows it under."""
FREE: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SpaceQuestion:
    """One question. Lengths are tokens, batches sequences, times seconds."""

    model: str
    """Name to show: a preset, or the folder of a config."""
    architecture: Architecture
    sequence_length: int
    global_batch: int
    """Sequences of one optimizer step; a choice factors it exactly as dp × micro-batch × accumulation."""
    pools: tuple[PoolOffer, ...]
    remaining: Mapping[Axis, Decimal]
    """What is left on each limited axis (energy in kWh)."""
    seconds_left: float | None = None
    """Until the deadline; None without one."""
    framework: str = "farthing"
    """Whose dtype policy holds (`catalog/frameworks`)."""
    fixed: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: FREE)
    """Knob (of KNOBS) → values it may take, as words; a knob that is absent is free."""
    pretrained: bool = False
    """Fine-tuning: outcomes are told in tokens, not in loss."""
    lora_rank: int = 16
    tokens_done: int = 0
    unique_tokens: int | None = None
    """Of the data set: more tokens than these are passes over it."""
    selection_factor: float = 1.0
    critical_batch_tokens: float | None = None
    profile: RuntimeProfile = field(default_factory=RuntimeProfile)
