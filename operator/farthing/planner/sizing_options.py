"""From a job's plans to the options of node-pool sizing: nodes, start-up, training time, cost, and what the end is worth.

The start-up is the plan's own prediction: as measured on that pool, or the prior where nobody measured yet. It is held and paid
for like training, so it stands in every option as a term of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import isfinite

from farthing.domain.plan import Allocation, Plan
from farthing.planner.sizing_plan import SizingJob, SizingOption, rank

OPTIONS = 8
"""Options of one job that are looked at."""
SHARE_STEP = 0.05
"""Outcomes that differ by less count as equal, and time decides: predicted speeds are not known any better."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A job that wants to run, and the plan behind each of its options."""

    job: SizingJob
    plans: Mapping[SizingOption, Plan]


def demand(
    name: str,
    plans: Sequence[Plan],
    accelerators_per_node: Mapping[str, int],
    *,
    weight: float = 1.0,
    deadline_seconds: float | None = None,
    most: int = OPTIONS,
) -> Demand:
    """The job's options: on each pool and number of nodes its best plan, at most `most` in all, of every pool some.

    An option is worth `weight` × the share of the tokens that the job's best plan buys (of one model on one data set: the order
    of predicted loss). Plans fit the job's budget already. Left out: plans on a pool that `accelerators_per_node` lacks, and
    plans without an end.
    """
    known = [plan for plan in plans if plan.allocation.pool in accelerators_per_node and isfinite(plan.seconds.value)]
    tokens = max((plan.tokens.value for plan in known), default=0.0)
    found: dict[SizingOption, Plan] = {}
    for plan in known:
        value = weight * _share(plan.tokens.value, tokens)
        option = option_of(plan, accelerators_per_node[plan.allocation.pool], value)
        found.setdefault(option, plan)
    chosen = _bounded(_best_by_size(found), most)
    return Demand(SizingJob(name, chosen, deadline_seconds=deadline_seconds), {each: found[each] for each in chosen})


def option_of(plan: Plan, accelerators_per_node: int, value: float) -> SizingOption:
    """The plan as an option of that value. A plan's seconds hold its start-up; an option's do not."""
    startup = plan.startup_seconds.value
    return SizingOption(
        pool=plan.allocation.pool,
        nodes=nodes_of(plan.allocation, accelerators_per_node),
        seconds=max(0.0, plan.seconds.value - startup),
        startup_seconds=startup,
        cost=None if plan.cost is None else plan.cost.value,
        value=value,
    )


def nodes_of(allocation: Allocation, accelerators_per_node: int) -> float:
    """Nodes that a gang takes: a pod takes 1/k of a node where k such pods fit on one, at most a whole one."""
    return allocation.pods / max(1, accelerators_per_node // allocation.accelerators_per_pod)


def _share(tokens: float, most: float) -> float:
    """Of the best plan's tokens, in whole steps of `SHARE_STEP` and never nothing."""
    return max(1, round(tokens / most / SHARE_STEP)) * SHARE_STEP if most > 0 else SHARE_STEP


def _best_by_size(options: Mapping[SizingOption, Plan]) -> dict[str, list[SizingOption]]:
    """By pool, the best option of each number of nodes; pools and options best first."""
    best: dict[tuple[str, float], SizingOption] = {}
    for option in sorted(options, key=rank):
        best.setdefault((option.pool, option.nodes), option)
    by_pool: dict[str, list[SizingOption]] = {}
    for (pool, _), option in best.items():
        by_pool.setdefault(pool, []).append(option)
    return by_pool


def _bounded(by_pool: Mapping[str, list[SizingOption]], most: int) -> tuple[SizingOption, ...]:
    """At most `most`, the pools in turn; best first."""
    turns = zip_longest(*(_by_turn(options) for options in by_pool.values()))
    chosen = [option for turn in turns for option in turn if option is not None][:most]
    return tuple(sorted(chosen, key=rank))


def _by_turn(options: Sequence[SizingOption]) -> Iterator[SizingOption]:
    """The best first, then the one on the fewest nodes, then the others: small gangs fit where the best does not."""
    fewest = min(options, key=lambda option: option.nodes)
    first = (options[0],) if fewest == options[0] else (options[0], fewest)
    yield from first
    yield from (option for option in options if option not in first)
