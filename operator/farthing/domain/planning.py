"""What the planner is asked: model, pools, what is left of the budget, what was measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from farthing.api.amounts import Axis
from farthing.api.job import StrategySpec
from farthing.contract.flops import Adapter
from farthing.contract.shape import ModelShape


@dataclass(frozen=True, slots=True)
class AcceleratorSpec:
    """One row of the catalogue: dense peaks in FLOP/s, memory in bytes, bandwidths in bytes/s; None where unknown."""

    name: str
    kind: str
    """`GPU` or `CPU`."""
    memory_bytes: int | None
    peak_flops: Mapping[str, float]
    """Dense peak by precision: float32, bfloat16 …"""
    memory_bandwidth: float | None
    link_bandwidth: float | None
    source: str
    as_of: str


@dataclass(frozen=True, slots=True)
class PoolOffer:
    """A pool as the planner sees it. `accelerators` is how many it can ever have at once."""

    name: str
    accelerator: AcceleratorSpec
    accelerators_per_node: int
    accelerators: int
    price_per_accelerator_hour: Decimal | None
    currency: str | None
    spot: bool
    memory_bytes: int | None
    """Of one accelerator's share; overrides the catalogue."""
    measured_flops_per_second: float | None = None
    measured_memory_bandwidth: float | None = None
    network_bytes_per_second: float | None = None
    """Of one node to others, one way; None: the estimators' assumption."""
    mean_time_between_failures: float = 86400.0
    startup_seconds: float | None = None
    """Measured on this pool; None: the profile's prior."""


@dataclass(frozen=True, slots=True)
class RuntimeProfile:
    """Constants of the runtime image, each with its source in the field's docstring."""

    cpu_baseline_bytes: int = 820 * 1024**2
    """Resident set of a CPU trainer without its model: 782-803 MiB measured (peak minus model terms, torch 2.15: one process,
    two unsharded, two sharded; 733 MiB of it stands before the model exists), and a little for luck."""
    startup_seconds: float = 18.0
    """Schedule + pull of a warm image + import + rendezvous + load: 11–18 s on two cores (DESIGN 9)."""
    checkpoint_seconds: float = 3.0
    """One synchronous save of a small model, before any was measured."""
    reserve_seconds: float = 40.0
    """`hard − trainerEnd` (DESIGN 4): grace, controller lag, last save and control period. Bought, never trained in; the caller
    that knows the ledger's own number passes it."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What an earlier attempt of this job, or of one like it, was measured to do."""

    pool: str
    accelerator: str
    strategy: str
    """`Strategy.signature`."""
    accelerators: int
    tokens_per_second: float | None = None
    peak_memory_bytes: float | None = None
    startup_seconds: float | None = None
    checkpoint_seconds: float | None = None
    family: str = ""
    """Model family, such as `llama`; empty: that of the question."""
    flops_per_token: float | None = None
    """Executed by the measured plan: it tells one plan for two models apart; None: the model of the question."""
    predicted_tokens_per_second: float | None = None
    """By the formulas alone, never a corrected number; None: only the drafts of the question can tell."""
    predicted_sigma: float | None = None
    """Relative deviation that they gave it."""
    predicted_memory_bytes: float | None = None
    """The same of the peak."""
    origin: str = ""
    """Who measured: `namespace/job attempt n`."""
    measured_at: str = ""
    """RFC 3339 time of the last look; empty where unknown."""


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """One question to the planner."""

    shape: ModelShape
    adapter: Adapter
    adapter_parameters: int
    """Trainable parameters of the adapter; 0 without one."""
    pretrained: bool
    sequence_length: int
    global_batch: int
    pools: tuple[PoolOffer, ...]
    min_accelerators: int
    max_accelerators: int
    fixed: StrategySpec
    remaining: Mapping[Axis, Decimal]
    """What is left on each limited axis; tokens are those still to train."""
    seconds_left: float | None
    """Until the deadline; None without one."""
    tokens_done: int = 0
    unique_tokens: int | None = None
    memory_steps: int = 0
    """How often to step down after a worker was killed for memory."""
    measurements: tuple[Measurement, ...] = ()
    profile: RuntimeProfile = field(default_factory=RuntimeProfile)

    @property
    def trainable_parameters(self) -> int:
        """Parameters that are trained: the adapter's, or all."""
        return self.adapter_parameters or self.shape.parameters
