"""The legal space: every allocation and strategy that factors the global batch exactly. Small enough to look at all of it."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple, TypeVar

from farthing.contract.flops import ActivationCheckpointing
from farthing.contract.runconfig import Grouping, Precision, Sharding
from farthing.domain.plan import Allocation, MemoryEstimate, Strategy
from farthing.domain.planning import PlanRequest, PoolOffer
from farthing.planner.offers import measured_precision

Choice = TypeVar("Choice")

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
SHARDINGS: tuple[Sharding, ...] = ("None", "FullShard")
GROUPINGS: tuple[Grouping, ...] = ("Root", "PerLayer")
CHECKPOINTINGS: tuple[ActivationCheckpointing, ...] = ("None", "Full")


class Candidate(NamedTuple):
    """One way to run the job, nothing said about it yet."""

    offer: PoolOffer
    allocation: Allocation
    strategy: Strategy


class Estimate(NamedTuple):
    """What is estimated of one: bytes of one process, seconds of one optimizer step, their relative spread, and where from."""

    memory: MemoryEstimate
    step_seconds: float
    sigma: float
    source: str


def candidates(request: PlanRequest, offer: PoolOffer) -> Iterator[Candidate]:
    """Every legal one on this pool, in a fixed order."""
    for allocation in allocations(request, offer):
        for strategy in strategies(request, offer, allocation):
            yield Candidate(offer, allocation, strategy)


def is_sharded(allocation: Allocation, strategy: Strategy) -> bool:
    """Whether states are really split: a world of one has nothing to split."""
    return strategy.sharding == "FullShard" and allocation.accelerators > 1


def allocations(request: PlanRequest, offer: PoolOffer) -> tuple[Allocation, ...]:
    """Gangs on this pool between min and max whose size divides the global batch: part of one node, or whole nodes."""
    most = min(request.max_accelerators, offer.accelerators)
    sizes = [n for n in divisors(request.global_batch) if request.min_accelerators <= n <= most]
    shaped = (_allocation(offer, n) for n in sizes)
    return tuple(allocation for allocation in shaped if allocation is not None)


def _allocation(offer: PoolOffer, accelerators: int) -> Allocation | None:
    """One pod is one node's share of the gang; a gang larger than a node takes whole nodes."""
    per_pod = min(accelerators, offer.accelerators_per_node)
    if accelerators % per_pod:
        return None
    return Allocation(offer.name, offer.accelerator.name, accelerators // per_pod, per_pod)


def strategies(request: PlanRequest, offer: PoolOffer, allocation: Allocation) -> Iterator[Strategy]:
    """Every strategy for this gang that respects what the user fixed. In a world of one sharding and grouping mean nothing:
    only `None` and `Root` are offered there unless they were fixed otherwise."""
    fixed, alone = request.fixed, allocation.accelerators == 1
    per_rank = request.global_batch // allocation.accelerators
    for precision, (sharding, grouping), checkpointing, micro in product(
        precisions(request, offer), _layouts(request, alone), _choices(fixed.activation_checkpointing, CHECKPOINTINGS),
        _micro_batches(request, per_rank),
    ):  # fmt: skip
        yield Strategy(
            precision=precision,
            sharding=sharding,
            grouping=grouping,
            activation_checkpointing=checkpointing,
            micro_batch=micro,
            accumulation=per_rank // micro,
            adapter=request.adapter,
            deterministic=bool(fixed.deterministic),
            compile=bool(fixed.compile),
        )


def precisions(request: PlanRequest, offer: PoolOffer) -> tuple[Precision, ...]:
    """Precisions whose rate is known: published in the catalogue, or measured on the pool."""
    known = {*offer.accelerator.peak_flops, measured_precision(offer)}
    return tuple(p for p in _choices(request.fixed.precision, PRECISIONS) if p in known)


def _layouts(request: PlanRequest, alone: bool) -> list[tuple[Sharding, Grouping]]:
    """Sharding with its grouping; grouping is a matter of FullShard alone, so `None` goes with one of them."""
    shardings = _choices(request.fixed.sharding, SHARDINGS[:1] if alone else SHARDINGS)
    groupings = _choices(request.fixed.grouping, GROUPINGS)
    return [(s, g) for s in shardings for g in (groupings if s == "FullShard" and not alone else groupings[:1])]


def _micro_batches(request: PlanRequest, per_rank: int) -> tuple[int, ...]:
    sizes = divisors(per_rank)
    fixed = request.fixed.micro_batch_size
    return sizes if fixed is None else tuple(size for size in sizes if size == fixed)


def _choices(fixed: Choice | None, every: tuple[Choice, ...]) -> tuple[Choice, ...]:
    return every if fixed is None else (fixed,)


def divisors(number: int) -> tuple[int, ...]:
    """Divisors of a positive number, ascending."""
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return tuple(sorted({*small, *(number // d for d in small)}))
