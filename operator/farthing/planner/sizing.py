"""How many nodes of which pool, from when and for how long: for one job, and for a set of jobs under budgets and deadlines.

Each job brings the ways to run it (`SizingOption`: so many nodes of a pool take so long, cost so much and are worth so much);
each pool has so many nodes. Chosen is at most one option and a start for each job so that no pool is ever asked for more than
it has, every job ends by its deadline, and neither a job's nor the common budget is exceeded. Best is the largest total value,
then the least sum of ends, then the least cost, then the first in order of input.

The search is exact when it ends within `limit` placements looked at (`SizingPlan.exact`); otherwise the best found stands
(`sizing_search`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf, isfinite

from farthing.errors import InvalidSpec, MissingPrice
from farthing.planner.sizing_plan import ROUNDING, Gain, Placement, SizingJob, SizingOption, SizingPlan, rank
from farthing.planner.sizing_search import Search

LOOKS = 20_000
"""Placements looked at before the best found is taken: 0.2 s where a dozen jobs compete, 4 s where a hundred do."""


def size(
    jobs: Sequence[SizingJob],
    nodes: Mapping[str, int],
    *,
    budget: float | None = None,
    limit: int = LOOKS,
    marginals: bool = True,
    holding: Sequence[Placement] = (),
) -> SizingPlan:
    """The best placement of `jobs` on pools of `nodes` nodes under the common `budget`, with each pool's marginal gain.

    `holding`: what runs already and keeps its nodes until it ends; no part of the answer, and paid from elsewhere.
    Raises InvalidSpec for a number out of range or two jobs of one name, MissingPrice where money is limited and an option that
    would count has no cost: it names the pool whose price to add.
    """
    _check(jobs, budget)
    plan = _solve(jobs, nodes, budget, limit, holding)
    if not marginals:
        return plan
    more = {pool: {**nodes, pool: nodes[pool] + 1} for pool in sorted(nodes)}
    gains = {pool: _gain(plan, _solve(jobs, raised, budget, limit, holding)) for pool, raised in more.items()}
    return replace(plan, marginal=gains)


def size_one(job: SizingJob, nodes: Mapping[str, int]) -> SizingPlan:
    """`size` of one job: its best option that fits pools, budget and deadline."""
    return size((job,), nodes)


def next_nodes(job: SizingJob, pool: str) -> tuple[tuple[float, float, Gain], ...]:
    """(nodes, next larger number, gain per node between them) along one pool, by the best option of each number of nodes."""
    best: dict[float, SizingOption] = {}
    for option in job.options:
        if option.pool == pool and (option.nodes not in best or rank(option) < rank(best[option.nodes])):
            best[option.nodes] = option
    steps = sorted(best)
    return tuple((few, more, _per_node(best[few], best[more])) for few, more in pairwise(steps))


def _solve(
    jobs: Sequence[SizingJob], nodes: Mapping[str, int], budget: float | None, limit: int, holding: Sequence[Placement]
) -> SizingPlan:
    money = inf if budget is None else budget
    options = [_useful(job, nodes, money) for job in jobs]
    search = Search(options, jobs, nodes, holding)
    exact = search.run(money, limit)
    placed = sorted(search.best[1], key=lambda pair: (pair[1].start_seconds, pair[0]))
    done = {index for index, _ in placed}
    unplaced = {job.name: _reason(job, nodes, money, bool(options[i])) for i, job in enumerate(jobs) if i not in done}
    return SizingPlan(tuple(placement for _, placement in placed), unplaced, exact)


def _useful(job: SizingJob, nodes: Mapping[str, int], money: float) -> list[SizingOption]:
    """The options that could run alone and that none other beats in all respects, best first."""
    alone = [option for option in job.options if not _obstacle(job, option, nodes, money)]
    kept: list[SizingOption] = []
    for option in sorted(alone, key=rank):
        if not any(_dominates(other, option) for other in kept):
            kept.append(option)
    return kept


def _dominates(one: SizingOption, other: SizingOption) -> bool:
    return (
        one.pool == other.pool
        and one.nodes <= other.nodes
        and one.held_seconds <= other.held_seconds
        and (one.cost or 0.0) <= (other.cost or 0.0)
        and one.value >= other.value
    )


def _obstacle(job: SizingJob, option: SizingOption, nodes: Mapping[str, int], money: float) -> str:
    """What keeps the option out even on empty pools; empty where nothing does."""
    has = nodes.get(option.pool, 0)
    if option.nodes > has + ROUNDING:
        return f"{option.pool}: nodes (needs {option.nodes:g} of {has})"
    if job.deadline_seconds is not None and option.held_seconds > job.deadline_seconds:
        return f"{option.pool}: deadline (needs {option.held_seconds:.4g} s of {job.deadline_seconds:.4g})"
    purse = min(money, inf if job.budget is None else job.budget)
    if (option.cost or 0.0) > purse:
        return f"{option.pool}: budget (needs {option.cost:.4g} of {purse:.4g})"
    return ""


def _reason(job: SizingJob, nodes: Mapping[str, int], money: float, possible: bool) -> str:
    """What keeps a job out that found no place: told of its option on the fewest nodes, where nothing of it could run alone."""
    if not job.options:
        return "no option was given"
    if possible:
        return "other jobs are worth more of the nodes, the time or the money"
    easiest = min(job.options, key=lambda option: (option.nodes, rank(option)))
    return _obstacle(job, easiest, nodes, money)


def _gain(before: SizingPlan, after: SizingPlan) -> Gain:
    return Gain(after.value - before.value, before.ends - after.ends, before.cost - after.cost)


def _per_node(few: SizingOption, more: SizingOption) -> Gain:
    step = more.nodes - few.nodes
    cost = (few.cost or 0.0) - (more.cost or 0.0)
    return Gain((more.value - few.value) / step, (few.held_seconds - more.held_seconds) / step, cost / step)


def _check(jobs: Sequence[SizingJob], budget: float | None) -> None:
    names = [job.name for job in jobs]
    if len(set(names)) != len(names):
        raise InvalidSpec("jobs", sorted(names), "give every job a name of its own")
    for job in jobs:
        for option in job.options:
            _check_option(job, option, counts=job.budget is not None or budget is not None)


def _check_option(job: SizingJob, option: SizingOption, counts: bool) -> None:
    if option.cost is None and counts:
        raise MissingPrice(
            f"spec.price: pool {option.pool} has none, and a budget of money bounds the job {job.name}: set "
            "perAcceleratorHour, currency and source on the pool, or leave its options out"
        )
    numbers = (option.seconds, option.startup_seconds, option.cost or 0.0, option.value)
    if option.nodes <= 0 or not all(isfinite(number) and number >= 0 for number in numbers):
        raise InvalidSpec(f"{job.name}.options", option, "more than no node, and finite numbers of at least 0")
