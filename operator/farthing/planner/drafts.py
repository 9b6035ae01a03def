"""Drafts: a candidate with its memory and speed as the estimates have them, before measurements and budget are looked at.

GPUs by `farthing.estimates`, all candidates of a request at once; CPU slots by what our own trainer was measured to do on them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from farthing.contract.flops import executed_flops_per_token
from farthing.domain.plan import Allocation, MemoryEstimate, Strategy
from farthing.domain.planning import PlanRequest, PoolOffer
from farthing.planner import cpu_timing
from farthing.planner.candidates import Candidate, Estimate, candidates, is_sharded
from farthing.planner.cpu_memory import SAFETY, SHARDED_SAFETY, MemoryQuestion, memory_terms
from farthing.planner.gpu import estimate_gpus


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
    """Executed, recomputation included."""
    sigma: float
    """Relative standard deviation of the logarithm of the speed."""
    speed_source: str
    """What the speed rests on, in words."""

    @property
    def key(self) -> tuple[str, int, str]:
        """Pool, accelerators and signature: what a measurement is filed under."""
        return (self.offer.name, self.allocation.accelerators, self.strategy.signature)


def drafts(request: PlanRequest, *offers: PoolOffer) -> tuple[Draft, ...]:
    """Every candidate on these pools (none given: on all of the request's), in a fixed order.

    Raises ValueError, or InvalidSpec on a GPU, where no rate is known.
    """
    legal = [each for offer in offers or request.pools for each in candidates(request, offer)]
    found: Iterator[Estimate] = iter(estimate_gpus(request, [each for each in legal if not _on_cpu(each)]))
    return tuple(_on_slots(request, each) if _on_cpu(each) else _draft(request, each, next(found)) for each in legal)


def _on_cpu(candidate: Candidate) -> bool:
    return candidate.offer.accelerator.kind == "CPU"


def _on_slots(request: PlanRequest, candidate: Candidate) -> Draft:
    """By the CPU trainer's own model."""
    seconds = cpu_timing.step_time(request, *candidate).seconds
    plain = not is_sharded(candidate.allocation, candidate.strategy) and candidate.strategy.adapter == "None"
    safety = SAFETY if plain else SHARDED_SAFETY
    memory = MemoryEstimate(_slot_terms(request, candidate), float(request.profile.cpu_baseline_bytes), safety)
    return _draft(request, candidate, Estimate(memory, seconds, cpu_timing.SIGMA, cpu_timing.SOURCE))


def _draft(request: PlanRequest, candidate: Candidate, found: Estimate) -> Draft:
    offer, allocation, strategy = candidate
    return Draft(
        offer=offer,
        allocation=allocation,
        strategy=strategy,
        memory=found.memory,
        step_seconds=found.step_seconds,
        tokens_per_second=request.global_batch * request.sequence_length / found.step_seconds,
        flops_per_token=executed_flops_per_token(
            request.shape, request.sequence_length, strategy.activation_checkpointing, strategy.adapter
        ),
        sigma=found.sigma,
        speed_source=found.source,
    )


def _slot_terms(request: PlanRequest, candidate: Candidate) -> dict[str, dict[str, float]]:
    allocation, strategy = candidate.allocation, candidate.strategy
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
    )
    return memory_terms(question)
