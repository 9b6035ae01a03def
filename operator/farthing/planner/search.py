"""The search: look at every candidate, say why the unfit ones are unfit, rank the rest by what the budget buys."""

from collections.abc import Iterable

from farthing.domain.plan import Plan, PlanSet
from farthing.domain.planning import PlanRequest
from farthing.planner.corrections import Corrections
from farthing.planner.drafts import drafts
from farthing.planner.estimate import make_plan, memory_fits
from farthing.planner.marginals import marginals
from farthing.planner.rejections import family, rejections
from farthing.planner.stepdown import step_down


def plan(request: PlanRequest) -> PlanSet:
    """Every plan worth considering, best first: of each family on each allocation the best micro-batch.

    Ranked by tokens bought (for one model and one data set that is the order of predicted loss), then time, then cost, then
    name. Deterministic. `plans` is empty where nothing fits; `rejections` then say why. Raises ValueError when nothing is
    limited.
    """
    offers = {offer.name: offer for offer in request.pools}
    candidates = drafts(request)
    known = Corrections(request.measurements, candidates)
    made = [(draft, make_plan(request, draft, known)) for draft in candidates]

    def fits(candidate: Plan) -> bool:
        return memory_fits(candidate, offers[candidate.allocation.pool])

    ranked = sorted((p for _, p in made if fits(p) and p.tokens.value > 0), key=_rank)
    left = step_down(ranked, request.memory_steps, fits)
    chosen = _best_of_families(left.plans)
    return PlanSet(
        plans=chosen,
        rejections=rejections(request, made, known),
        notes=left.notes,
        marginals=marginals(request, chosen, candidates, known),
    )


def _rank(candidate: Plan) -> tuple[float, float, float, str, int, str]:
    """Most tokens first, then shortest, then cheapest; names break what is left."""
    cost = candidate.cost.value if candidate.cost is not None else 0.0
    where = candidate.allocation
    return (
        -candidate.tokens.value, candidate.seconds.value, cost, where.pool, where.accelerators, candidate.strategy.signature
    )  # fmt: skip


def _best_of_families(ranked: Iterable[Plan]) -> tuple[Plan, ...]:
    best: dict[tuple[str, int, str], Plan] = {}
    for candidate in ranked:
        best.setdefault(family(candidate), candidate)
    return tuple(best.values())
