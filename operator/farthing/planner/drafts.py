"""Drafts: a candidate with its memory and speed as the formulas have them, before measurements and budget are looked at."""

from dataclasses import dataclass

from farthing.contract.flops import executed_flops_per_token
from farthing.domain.plan import Allocation, MemoryEstimate, Strategy
from farthing.domain.planning import PlanRequest, PoolOffer
from farthing.planner.candidates import allocations, strategies
from farthing.planner.memory import MemoryQuestion, memory_terms
from farthing.planner.timing import is_sharded, step_time

GPU_SAFETY = 1.08
"""Admission adds 8 % to allocated memory; what the allocator reserves lies above, but can be given back (not validated)."""
CPU_SAFETY = 1.25
"""A resident set also holds what the C allocator does not give back: 171 MiB predicted, 179 measured, at 7M parameters."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One candidate. `tokens_per_second` is of the whole gang."""

    offer: PoolOffer
    allocation: Allocation
    strategy: Strategy
    memory: MemoryEstimate
    step_seconds: float
    tokens_per_second: float
    flops_per_token: float

    @property
    def key(self) -> tuple[str, int, str]:
        """Pool, accelerators and signature: what a measurement is filed under."""
        return (self.offer.name, self.allocation.accelerators, self.strategy.signature)


def drafts(request: PlanRequest, offer: PoolOffer) -> tuple[Draft, ...]:
    """Every candidate on this pool, in a fixed order."""
    return tuple(
        _draft(request, offer, allocation, strategy)
        for allocation in allocations(request, offer)
        for strategy in strategies(request, offer, allocation)
    )


def _draft(request: PlanRequest, offer: PoolOffer, allocation: Allocation, strategy: Strategy) -> Draft:
    seconds = step_time(request, offer, allocation, strategy).seconds
    return Draft(
        offer=offer,
        allocation=allocation,
        strategy=strategy,
        memory=_memory(request, offer, allocation, strategy),
        step_seconds=seconds,
        tokens_per_second=request.global_batch * request.sequence_length / seconds,
        flops_per_token=executed_flops_per_token(
            request.shape, request.sequence_length, strategy.activation_checkpointing, strategy.adapter
        ),
    )


def _memory(request: PlanRequest, offer: PoolOffer, allocation: Allocation, strategy: Strategy) -> MemoryEstimate:
    on_cpu = offer.accelerator.kind == "CPU"
    question = MemoryQuestion(
        shape=request.shape,
        tokens=strategy.micro_batch * request.sequence_length,
        precision=strategy.precision,
        shards=allocation.accelerators if is_sharded(allocation, strategy) else 1,
        world=allocation.accelerators,
        grouping=strategy.grouping,
        activation_checkpointing=strategy.activation_checkpointing,
        adapter_parameters=request.adapter_parameters,
        compile=strategy.compile,
        on_cpu=on_cpu,
    )
    baseline = request.profile.cpu_baseline_bytes if on_cpu else request.profile.gpu_baseline_bytes
    return MemoryEstimate(memory_terms(question), float(baseline), CPU_SAFETY if on_cpu else GPU_SAFETY)
