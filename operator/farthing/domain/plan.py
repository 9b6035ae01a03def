"""A plan: how one job would run on one pool, with predictions and their uncertainty."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

from farthing.contract.flops import ActivationCheckpointing, Adapter
from farthing.contract.runconfig import Grouping, Precision, Sharding


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predicted number: median, relative standard deviation of its logarithm, unit and where it comes from."""

    value: float
    sigma: float
    unit: str
    source: str

    def quantile(self, q: float) -> float:
        """The q-quantile of the log-normal around `value`; q = 0.5 is `value` itself. Raises ValueError unless 0 < q < 1."""
        if not 0.0 < q < 1.0:
            raise ValueError(f"q: {q} must be between 0 and 1")
        return float(self.value * pow(2.718281828459045, self.sigma * NormalDist().inv_cdf(q)))


@dataclass(frozen=True, slots=True)
class Allocation:
    """Where a gang runs: `pods` pods of `accelerators_per_pod` accelerators on `pool`."""

    pool: str
    accelerator: str
    pods: int
    accelerators_per_pod: int

    @property
    def accelerators(self) -> int:
        """Accelerators held: pods × accelerators per pod."""
        return self.pods * self.accelerators_per_pod


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes of one process by phase and named term.

    `terms[phase][name]` in bytes; the peak is the maximum over phases, never a plain sum of everything.
    """

    terms: Mapping[str, Mapping[str, float]]
    """A term that is absent from a phase is nothing there."""
    baseline: float
    """Outside the model's tensors: on a CPU the runtime before the model exists, on a GPU context and communication buffers."""
    safety: float
    """Factor on the model's part that admission adds."""

    @property
    def peak_phase(self) -> str:
        """The phase with the largest sum."""
        return max(self.terms, key=lambda phase: sum(self.terms[phase].values()))

    @property
    def model_bytes(self) -> float:
        """Peak of the model's own terms, without the baseline."""
        return sum(self.terms[self.peak_phase].values())

    @property
    def expected_bytes(self) -> float:
        """What is expected to be measured: baseline + model."""
        return self.baseline + self.model_bytes

    @property
    def safe_bytes(self) -> float:
        """What admission reserves: baseline + model × safety."""
        return self.baseline + self.model_bytes * self.safety


@dataclass(frozen=True, slots=True)
class Strategy:
    """How the step is executed. world × micro_batch × accumulation is the job's global batch, exactly."""

    precision: Precision
    sharding: Sharding
    grouping: Grouping
    activation_checkpointing: ActivationCheckpointing
    micro_batch: int
    accumulation: int
    adapter: Adapter
    deterministic: bool = False
    compile: bool = False

    @property
    def signature(self) -> str:
        """One word that tells two strategies apart, for caches and tables."""
        flags = ("d" if self.deterministic else "") + ("c" if self.compile else "")
        return (
            f"{self.precision}/{self.sharding}/{self.grouping}/ac={self.activation_checkpointing}"
            f"/mb={self.micro_batch}x{self.accumulation}/{self.adapter}{flags}"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to run the job. Predictions: step_seconds, tokens_per_second, startup_seconds, and for the budget that is left:

    `steps` and `tokens` that it buys until the landing ends, `seconds` and `cost` of doing so, `flops`, and the final `loss`.
    """

    allocation: Allocation
    strategy: Strategy
    memory: MemoryEstimate
    memory_request_bytes: int
    """Of one pod: safe bytes of its processes plus /dev/shm, rounded up."""
    shm_bytes: int
    step_seconds: Prediction
    tokens_per_second: Prediction
    startup_seconds: Prediction
    checkpoint_seconds: Prediction
    tokens: Prediction
    seconds: Prediction
    cost: Prediction | None
    flops: Prediction
    loss: Prediction | None
    flops_per_token: float
    """Executed FLOPs per token, recomputation included."""
    peak_flops_per_second: float
    """Dense peak of one accelerator: bounds what can be executed while nobody reports."""
    price_per_hour: float | None
    """Of the whole gang, at the quote."""
    binding: str
    """The axis (or `deadline`) that ends the run first."""
    executable_by: str = "farthing_trainer"
    energy: Prediction | None = None
    """kWh of the accelerators for `seconds`; None where nobody states their design power."""

    @property
    def world_size(self) -> int:
        """Processes in the gang."""
        return self.allocation.accelerators


@dataclass(frozen=True, slots=True)
class Rejection:
    """A family of plans that cannot be used, the constraint that killed it, and by how much."""

    family: str
    constraint: str
    needs: float
    has: float
    unit: str

    def __str__(self) -> str:
        return f"{self.family}: {self.constraint} (needs {self.needs:.4g} {self.unit} of {self.has:.4g})"


@dataclass(frozen=True, slots=True)
class PlanSet:
    """Every plan worth considering, best first, and why the others are not in it."""

    plans: tuple[Plan, ...]
    rejections: tuple[Rejection, ...] = ()
    notes: tuple[str, ...] = field(default=())
    marginals: Mapping[str, float] = field(default_factory=dict)
    """By limited axis (or `deadline`): change of the best plan's final loss per unit more of it, in nats; never positive.

    Units: cost in its currency, acceleratorHours, single flops and tokens, deadline in seconds. Empty where no loss is known.
    """

    @property
    def best(self) -> Plan | None:
        """What the budget buys most with, or None when nothing fits."""
        return self.plans[0] if self.plans else None

    def why_not(self, constraint: str, margin: float = 0.0) -> tuple[Rejection, ...]:
        """Rejections by that constraint that missed by more than the relative `margin`."""
        return tuple(
            rejection
            for rejection in self.rejections
            if rejection.constraint == constraint and rejection.needs > rejection.has * (1.0 + margin)
        )

    def for_pool(self, pool: str) -> tuple[Plan, ...]:
        """The plans that run on that pool, best first."""
        return tuple(plan for plan in self.plans if plan.allocation.pool == pool)
