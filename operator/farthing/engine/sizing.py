"""How many nodes of which pool all jobs that run or want to run ask for: `status.desiredNodes` of the pools.

Seconds hardly count: a gang that runs is taken for the whole time that it was planned for, and what a job that waits would do
and has left is told in steps of a tenth. So a pool's status changes with the jobs and not with the clock, and the answer of one
cycle is mostly that of the last. Jobs that cannot start whatever the nodes (their retry is not due, their account
buys nothing, their spec is wrong) ask for none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp, log

from farthing.domain.snapshot import Attempt, PoolView
from farthing.engine.opening import plan_of
from farthing.engine.planning import Case
from farthing.engine.scheduling import allocation_of
from farthing.planner.sizing_options import Demand, demand, nodes_of, option_of
from farthing.planner.sizing_plan import Placement, SizingOption
from farthing.planner.sizing_pools import PoolSize, size_pools

MAX_JOBS = 24
"""Waiting jobs that are placed, in order of priority and age; what comes after them waits in any case."""
MAX_LOOKS = 1_000
"""Of each placement problem, of which there is one a pool and one more: about 20 ms where that many jobs compete."""
STEP = log(1.1)
"""Of the logarithm of times and costs: a tenth, about what predictions are good for."""
CLASSES = 3
"""Priorities that are told apart; those below the last count as it does."""


def pool_sizes(cases: Sequence[Case], pools: Sequence[PoolView]) -> Mapping[str, PoolSize]:
    """By pool, the nodes that gangs hold and that waiting jobs could start on, within what the pool may have.

    Deterministic; at most `MAX_JOBS` jobs of `planner.sizing_options.OPTIONS` options, at most `MAX_LOOKS` looks a problem.
    """
    sizes = {view.name: view.pool.spec.accelerators_per_node for view in pools}
    limits = {view.name: max(view.pool.spec.max_nodes, sum(node.ready for node in view.nodes)) for view in pools}
    running = [(case, attempt) for case in cases if (attempt := case.view.open_attempt) is not None and not _wants(case)]
    holding = [_holding(case, attempt, sizes) for case, attempt in running if attempt.record.spec.pool in sizes]
    return size_pools(_demands(cases, sizes), limits, limit=MAX_LOOKS, holding=holding).pools


def desired_nodes(view: PoolView, cases: Sequence[Case], size: PoolSize) -> int:
    """Nodes that the pool should have now: what is asked for, at least `minNodes` and every node that a gang's pod is on."""
    attempts = (attempt for case in cases if (attempt := case.view.open_attempt) is not None)
    pods = (pod for attempt in attempts if attempt.record.spec.pool == view.name for pod in attempt.pods)
    occupied = {pod.node for pod in pods if pod.node is not None and not pod.terminal}
    return max(view.pool.spec.min_nodes, size.now, len(occupied))


def one_node_more(size: PoolSize) -> str | None:
    """What a node beyond the pool's limit would do for waiting jobs, in words; None where it would do nothing at once."""
    count = len(size.more.at_once)
    if not count:
        return None
    return f"one node beyond {size.limit} would let {count} waiting {'job' if count == 1 else 'jobs'} start at once"


def _wants(case: Case) -> bool:
    """Whether it asks for the gang that it could start, or that follows its open prepare attempt."""
    if case.view.open_attempt is None:
        return bool(case.intent.candidates)
    return case.intent.plans is not None and bool(case.intent.plans.plans)


def _demands(cases: Sequence[Case], sizes: Mapping[str, int]) -> list[Demand]:
    wanting = sorted((case for case in cases if _wants(case)), key=_order)[:MAX_JOBS]
    weights = _weights(wanting)
    return [_demand(case, sizes, weights[case.view.priority]) for case in wanting]


def _demand(case: Case, sizes: Mapping[str, int], weight: float) -> Demand:
    """The options of training; a job that is to be prepared first asks for what it is prepared for."""
    plans = () if case.intent.plans is None else case.intent.plans.plans
    if case.view.open_attempt is None and case.books.stage == "Train":
        plans = tuple(candidate.plan for candidate in case.intent.candidates)
    return _coarse(demand(case.view.key, plans, sizes, weight=weight, deadline_seconds=case.books.seconds_left))


def _coarse(found: Demand) -> Demand:
    """The same in steps; what would just end by its deadline still does, for both are rounded alike."""
    plans = {_coarse_option(option): plan for option, plan in found.plans.items()}
    deadline = found.job.deadline_seconds
    job = replace(found.job, options=tuple(plans), deadline_seconds=None if deadline is None else _step(deadline))
    return Demand(job, plans)


def _coarse_option(option: SizingOption) -> SizingOption:
    cost = None if option.cost is None else _step(option.cost)
    return replace(option, seconds=_step(option.held_seconds), startup_seconds=0.0, cost=cost)


def _step(amount: float) -> float:
    """To the nearest power of a tenth more; what is not above 0 stays."""
    return exp(round(log(amount) / STEP) * STEP) if amount > 0 else amount


def _order(case: Case) -> tuple[int, str, str]:
    return (-case.view.priority, case.view.job.metadata.creation_timestamp or "", case.view.key)


def _weights(wanting: Sequence[Case]) -> dict[int, float]:
    """By priority: one job of a class is worth more than all jobs of the classes below it."""
    classes = sorted({case.view.priority for case in wanting}, reverse=True)
    return {priority: float(MAX_JOBS + 1) ** max(0, CLASSES - 1 - place) for place, priority in enumerate(classes)}


def _holding(case: Case, attempt: Attempt, sizes: Mapping[str, int]) -> Placement:
    """A gang that runs, from now on for as long as it was planned; for its lease where no plan stands in its record."""
    plan, spec = plan_of(attempt.record), attempt.record.spec
    nodes = nodes_of(allocation_of(attempt), sizes[spec.pool])
    option = (
        SizingOption(spec.pool, nodes, float(spec.ends.hard), 0.0, cost=None, value=0.0)
        if plan is None
        else option_of(plan, sizes[spec.pool], value=0.0)
    )
    return Placement(case.view.key, option, 0.0)
