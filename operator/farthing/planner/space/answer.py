"""What the search found: choices best first, the front of cost × time × outcome, and why other families are not among them."""

from collections.abc import Mapping
from dataclasses import dataclass

from farthing.domain.plan import Prediction, Rejection


@dataclass(frozen=True, slots=True)
class Layout:
    """How one step is executed on how many devices of which pool; `signature` tells two apart."""

    pool: str
    accelerator: str
    devices: int
    nodes: int
    precision: str
    """`bfloat16`, `float16`, `float32`, `fp8`."""
    sharding: str
    """`None`, `ZeRO1`, `ZeRO2`, `FullShard`."""
    dp: int
    tp: int
    sequence_parallel: bool
    pp: int
    vpp: int
    """Model chunks of a pipeline stage: above 1 the schedule is interleaved."""
    cp: int
    ep: int
    checkpointing: str
    """`None`, `SelectiveOp`, `Selective2` (every second layer), `Full`."""
    micro_batch: int
    accumulation: int
    optimizer: str
    adapter: str
    """`None`, `LoRA`, `DoRA`, `QLoRA`, `QDoRA`."""
    attention: str
    loss: str
    compile: bool
    offload: bool
    executable_by: str
    """`farthing_trainer` where our trainer runs it, else the framework that does."""

    @property
    def signature(self) -> str:
        """One word for tables: parallel degrees that are 1, no adapter and switches that are off are left out."""
        degrees = "".join(f" {name}{size}" for name, size in self._degrees() if size > 1)
        switches = "".join(f" {name}" for name, on in (("sp", self.sequence_parallel), ("compile", self.compile)) if on)
        adapter = "" if self.adapter == "None" else f" {self.adapter}"
        offload = " offload" if self.offload else ""
        return (
            f"{self.precision} {self.sharding}{degrees} ac={self.checkpointing} mb={self.micro_batch}x{self.accumulation} "
            f"{self.optimizer}{adapter}{switches}{offload}"
        )

    def _degrees(self) -> tuple[tuple[str, int], ...]:
        return (("dp", self.dp), ("tp", self.tp), ("pp", self.pp), ("vpp", self.vpp), ("cp", self.cp), ("ep", self.ep))


@dataclass(frozen=True, slots=True)
class Choice:
    """One way of training, with what it needs and what the budget buys with it."""

    layout: Layout
    memory_terms: Mapping[str, Mapping[str, float]]
    """Bytes of one device by phase and term."""
    allocated: float
    """Bytes of one device at the peak: tensors alive, held by the allocator, and what admission compares with `capacity`."""
    reserved: float
    safe: float
    capacity: float
    """Bytes of one device that a process can use."""
    time_terms: Mapping[str, float]
    """Seconds of one step by term; their sum is `step_seconds`."""
    step_seconds: Prediction
    tokens_per_second: Prediction
    """Of the whole gang."""
    startup_seconds: Prediction
    tokens: Prediction
    """That the budget buys, whole steps."""
    seconds: Prediction
    """Of wall time: start-up, training, checkpoints, and on spot the expected interruptions."""
    accelerator_hours: Prediction
    flops: Prediction
    """Executed, recomputation included."""
    energy: Prediction | None
    """kWh; None where the device's power is unknown."""
    cost: Prediction | None
    """None where the pool has no price (and money is not limited)."""
    loss: Prediction | None
    """Final loss, nats/token; None for fine-tuning."""
    binding: str
    """The axis (or `deadline`) that ends the run."""
    interruptions: float
    """Expected on this pool: of spot capacity, or failures."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Space:
    """The answer."""

    choices: tuple[Choice, ...]
    """Best first (outcome, then time, then cost): of each family on each pool and gang size the best."""
    front: tuple[int, ...]
    """Positions in `choices` that nothing beats in cost, time and outcome at once."""
    rejections: tuple[Rejection, ...]
    """Of each family without a usable member: the constraint that killed the member that came closest, and by how much."""
    looked_at: int
    """Configurations evaluated."""
    notes: tuple[str, ...] = ()
