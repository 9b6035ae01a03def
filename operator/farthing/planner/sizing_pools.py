"""What a set of jobs asks of each pool: how many nodes for how long, and what one node more would bring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from farthing.planner.sizing import LOOKS, size
from farthing.planner.sizing_options import Demand
from farthing.planner.sizing_plan import Placement, SizingJob, SizingPlan

REMEMBERED = 64
"""Answers that are kept: the same jobs and pools are asked about in every cycle of the operator."""


@dataclass(frozen=True, slots=True)
class NodeMore:
    """What one node more of a pool would change. Where it lets a job in, others may end later: `seconds` may be negative."""

    placed: tuple[str, ...] = ()
    """Jobs that run only with it."""
    at_once: tuple[str, ...] = ()
    """Jobs that start at once only with it."""
    loss: float = 0.0
    """Nats of final loss that are saved, summed over the jobs that run either way and have a predicted loss."""
    seconds: float = 0.0
    """By which the jobs that run either way end sooner, summed."""
    cost: float = 0.0
    """Less money spent in all, the jobs counted that run only with it."""


@dataclass(frozen=True, slots=True)
class PoolSize:
    """What one pool is wanted for."""

    pool: str
    limit: int
    """Nodes that it may have."""
    now: int
    """Nodes wanted at once, now."""
    peak: int
    """Most nodes wanted at once."""
    seconds: float
    """From now until the last job on it ends."""
    node_seconds: float
    """Nodes × seconds held."""
    jobs: tuple[str, ...]
    """In order of start."""
    cost: float | None
    """Of these jobs; None where one has no price."""
    more: NodeMore


@dataclass(frozen=True, slots=True)
class Sizing:
    """The pools' sizes by name, the placements behind them, and which jobs do not fit and why."""

    pools: Mapping[str, PoolSize]
    plan: SizingPlan


def size_pools(
    demands: Sequence[Demand],
    nodes: Mapping[str, int],
    *,
    budget: float | None = None,
    limit: int = LOOKS,
    holding: Sequence[Placement] = (),
) -> Sizing:
    """How many nodes of each pool are wanted for how long. `nodes`: how many each may have; `holding`: gangs that run already.

    Solves 1 + (number of pools) placement problems of at most `limit` looks each. Deterministic. Raises as `sizing.size` does.
    """
    jobs = tuple(each.job for each in sorted(demands, key=_first_tried))
    held = tuple(holding)

    def solved(capacity: Mapping[str, int]) -> SizingPlan:
        return _solved(jobs, tuple(sorted(capacity.items())), budget, limit, held)

    plan = solved(nodes)
    known = {each.job.name: each for each in demands}
    used = {option.pool for job in jobs for option in job.options}
    sizes = {}
    for pool in sorted(nodes):
        raised = solved({**nodes, pool: nodes[pool] + 1}) if pool in used else plan
        sizes[pool] = _pool_size(pool, nodes[pool], plan, held, node_more(plan, raised, known))
    return Sizing(sizes, plan)


def node_more(before: SizingPlan, after: SizingPlan, demands: Mapping[str, Demand]) -> NodeMore:
    """What the second plan brings over the first; where it was found worse, the first stands: a node more may stay idle."""
    if _score(after) <= _score(before):
        return NodeMore()
    old = {each.job: each for each in before.placements}
    new = {each.job: each for each in after.placements}
    both = [name for name in new if name in old]
    return NodeMore(
        placed=tuple(name for name in new if name not in old),
        at_once=tuple(name for name, each in new.items() if _at_once(each) and not (name in old and _at_once(old[name]))),
        loss=sum(_loss(demands[name], old[name]) - _loss(demands[name], new[name]) for name in both),
        seconds=sum(old[name].end_seconds - new[name].end_seconds for name in both),
        cost=before.cost - after.cost,
    )


def _first_tried(demand: Demand) -> tuple[float, float, str]:
    """What is worth most first, then what is done soonest: a good start for the search where it cannot end."""
    best = demand.job.options[:1]
    return (-sum(each.value for each in best), sum(each.held_seconds for each in best), demand.job.name)


@lru_cache(maxsize=REMEMBERED)
def _solved(
    jobs: tuple[SizingJob, ...],
    nodes: tuple[tuple[str, int], ...],
    budget: float | None,
    limit: int,
    holding: tuple[Placement, ...],
) -> SizingPlan:
    return size(jobs, dict(nodes), budget=budget, limit=limit, marginals=False, holding=holding)


def _pool_size(pool: str, limit: int, plan: SizingPlan, holding: Sequence[Placement], more: NodeMore) -> PoolSize:
    here = tuple(each for each in (*holding, *plan.placements) if each.option.pool == pool)
    costs = [each.option.cost for each in here]
    all_of_it = SizingPlan(here, {}, plan.exact)
    return PoolSize(
        pool=pool,
        limit=limit,
        now=all_of_it.nodes_at(pool, 0.0),
        peak=all_of_it.peak_nodes(pool),
        seconds=max((each.end_seconds for each in here), default=0.0),
        node_seconds=all_of_it.node_seconds.get(pool, 0.0),
        jobs=tuple(each.job for each in here),
        cost=None if None in costs else all_of_it.cost,
        more=more,
    )


def _score(plan: SizingPlan) -> tuple[float, float, float]:
    return (plan.value, -plan.ends, -plan.cost)


def _at_once(placement: Placement) -> bool:
    return placement.start_seconds == 0.0


def _loss(demand: Demand, placement: Placement) -> float:
    loss = demand.plans[placement.option].loss
    return 0.0 if loss is None else loss.value
