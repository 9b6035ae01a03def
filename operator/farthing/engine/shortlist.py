"""Which of a job's plans a policy is shown: no pool hides behind another, and data is prepared where there is room."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import zip_longest

from farthing.domain.plan import Allocation, Plan, PlanSet
from farthing.settings import Settings
from farthing.units import MIB, parse_quantity

MAX_CANDIDATES = 32
"""Plans of one job that a policy is shown."""
PREPARE_SHM = 64 * MIB
"""Shared memory of the prepare stage, in bytes: Kubernetes' own size without a memory volume."""


def shown(plans: Sequence[Plan]) -> tuple[Plan, ...]:
    """The plans that a policy is shown, in their order: of every pool and gang the best, pools in turn, then what is best.

    The best plans alone may all be of one pool, behind which a job would wait while others stand idle.
    """
    leads: dict[str, dict[int, int]] = {}
    for index, plan in enumerate(plans):
        leads.setdefault(plan.allocation.pool, {}).setdefault(plan.allocation.accelerators, index)
    turns = zip_longest(*(each.values() for each in leads.values()))
    wanted = [index for turn in turns for index in turn if index is not None]
    chosen = dict.fromkeys([*wanted, *range(len(plans))])
    return tuple(plans[index] for index in sorted(list(chosen)[:MAX_CANDIDATES]))


def prepare_plans(plans: PlanSet, settings: Settings, ready: Collection[str]) -> tuple[Plan, ...]:
    """One accelerator of each usable pool, the cheapest first: tokenising needs none of the gang, so none of it waits, and
    where the cheapest is full the next one serves. Pools without a ready node come last, for nobody promised them one."""
    cheapest: dict[str, Plan] = {}
    for plan in sorted(plans.plans, key=_price_each):
        cheapest.setdefault(plan.allocation.pool, plan)
    order = sorted(
        cheapest.values(), key=lambda plan: (plan.allocation.pool not in ready, _price_each(plan), plan.allocation.pool)
    )
    return tuple(_prepare_plan(plan, settings) for plan in order)


def _prepare_plan(plan: Plan, settings: Settings) -> Plan:
    return replace(
        plan,
        strategy=replace(plan.strategy, accumulation=plan.strategy.accumulation * plan.world_size),
        allocation=Allocation(plan.allocation.pool, plan.allocation.accelerator, pods=1, accelerators_per_pod=1),
        memory_request_bytes=parse_quantity(settings.attempt.prepare_memory),
        shm_bytes=PREPARE_SHM,
        price_per_hour=None if plan.price_per_hour is None else _price_each(plan),
    )


def _price_each(plan: Plan) -> float:
    return (plan.price_per_hour or 0.0) / plan.allocation.accelerators
