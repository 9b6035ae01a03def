"""Why a family of plans cannot be used: the constraint that killed it, and by how much."""

from collections.abc import Iterable, Iterator, Sequence

from farthing.api.amounts import Axis
from farthing.domain.plan import Plan, Rejection
from farthing.domain.planning import PlanRequest, PoolOffer
from farthing.planner.budget import DEADLINE, Meter
from farthing.planner.candidates import allocations, precisions
from farthing.planner.corrections import Corrections
from farthing.planner.drafts import Draft
from farthing.planner.estimate import accelerator_memory, memory_fits, needed_bytes, plan_meter
from farthing.units import GIB, SECONDS_PER_HOUR


def family(candidate: Plan) -> tuple[str, int, str]:
    """Pool, accelerators, and everything of the strategy but the micro-batch."""
    strategy = candidate.strategy
    layout = f"{strategy.precision}/{strategy.sharding}/{strategy.grouping}/ac={strategy.activation_checkpointing}"
    return (candidate.allocation.pool, candidate.allocation.accelerators, layout)


def rejections(request: PlanRequest, made: Sequence[tuple[Draft, Plan]], known: Corrections) -> tuple[Rejection, ...]:
    """Pools without any candidate, then layouts that need too much memory at any size, then those that buy not one step."""
    structural = [rejection for offer in request.pools for rejection in _structural(request, offer)]
    fitting = [(draft, candidate) for draft, candidate in made if memory_fits(candidate, draft.offer)]
    usable = {_layout(candidate) for _, candidate in fitting if candidate.tokens.value > 0}
    dead = [(draft, candidate) for draft, candidate in fitting if _layout(candidate) not in usable]
    roomy = {_layout(candidate) for _, candidate in fitting}
    large = [(draft, candidate) for draft, candidate in made if _layout(candidate) not in roomy]
    memory = _closest((_layout(candidate), _too_large(draft.offer, candidate)) for draft, candidate in large)
    budget = _closest((_layout(candidate), _too_dear(request, draft, candidate, known)) for draft, candidate in dead)
    return (*structural, *memory, *budget)


def _layout(candidate: Plan) -> tuple[str, str]:
    pool, _, layout = family(candidate)
    return pool, layout


def _closest(found: Iterable[tuple[tuple[str, str], Rejection]]) -> list[Rejection]:
    """One for each pool and layout: the candidate that came closest."""
    least: dict[tuple[str, str], Rejection] = {}
    for layout, rejection in found:
        if layout not in least or rejection.needs < least[layout].needs:
            least[layout] = rejection
    return list(least.values())


def _structural(request: PlanRequest, offer: PoolOffer) -> Iterator[Rejection]:
    """Why a pool has no candidate at all."""
    if offer.accelerators < request.min_accelerators:
        yield Rejection(offer.name, "accelerators", request.min_accelerators, offer.accelerators, "accelerators")
        return
    gangs = allocations(request, offer)
    if not gangs:
        most = min(request.max_accelerators, offer.accelerators)
        family = f"{offer.name}, {request.min_accelerators}-{most} accelerators: none divides the global batch into whole nodes"
        yield Rejection(family, "batch", request.global_batch, most, "sequences")
    if not precisions(request, offer):
        wanted = request.fixed.precision or "any precision"
        yield Rejection(f"{offer.name}, {wanted} on {offer.accelerator.name}", "precision", 1, 0, "known rate")
    micro = request.fixed.micro_batch_size
    if micro is not None:
        for gang in (g for g in gangs if request.global_batch // g.accelerators % micro):
            each = request.global_batch // gang.accelerators
            family = f"{offer.name} x{gang.accelerators}, strategy.microBatchSize does not divide a worker's share of the batch"
            yield Rejection(family, "strategy", micro, each, "sequences")


def _told(candidate: Plan) -> str:
    pool, accelerators, layout = family(candidate)
    return f"{pool} x{accelerators} {layout}"


def _too_large(offer: PoolOffer, candidate: Plan) -> Rejection:
    limit = accelerator_memory(offer) or 0
    return Rejection(_told(candidate), "memory", needed_bytes(candidate, offer) / GIB, limit / GIB, "GiB")


def _too_dear(request: PlanRequest, draft: Draft, candidate: Plan, known: Corrections) -> Rejection:
    """Not one step is bought: what one step would take of the binding axis, and what is left of it."""
    meter = plan_meter(request, draft, known, known.speed(draft))
    constraint, needs, has, unit = _one_step(request, meter, candidate.binding, draft.offer.currency or "")
    return Rejection(_told(candidate), f"budget:{constraint}", needs, has, unit)


def _one_step(request: PlanRequest, meter: Meter, axis: str, currency: str) -> tuple[str, float, float, str]:
    if axis == Axis.TOKENS:
        return axis, float(meter.tokens_per_step), float(request.remaining[Axis.TOKENS]), "tokens"
    if axis == Axis.FLOPS:
        return axis, meter.tokens_per_step * meter.flops_per_token, float(request.remaining[Axis.FLOPS]), "FLOPs"
    hours = (meter.fixed_seconds + meter.seconds_per_step) / SECONDS_PER_HOUR
    if axis == DEADLINE:
        return axis, hours * SECONDS_PER_HOUR, request.seconds_left or 0.0, "s"
    left = float(request.remaining[Axis(axis)])
    if axis == Axis.COST:
        return axis, hours * (meter.price_per_hour or 0.0), left, currency
    return axis, hours * meter.accelerators, left, "accelerator-hours"
