"""After a worker was killed for memory: the next attempt needs less, or is given more.

One step takes the plan that would have run (and was killed) and keeps only plans that need at most four fifths of its model's
memory: in practice first a smaller micro-batch, then activation checkpointing, then other sharding, in the order of what each
costs. On a CPU, where the limit is the plan's own request, the request also never falls below that of a plan that was killed.
Where no leaner plan is left, the request (and on a GPU the safety) grows by a quarter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from farthing.domain.plan import Plan
from farthing.planner.estimate import round_to_mib
from farthing.units import format_bytes

LEANER = 0.8
LARGER = 1.25

Fits = Callable[[Plan], bool]


@dataclass(frozen=True, slots=True)
class SteppedDown:
    """The plans that are left, best first, with what each step did, in words."""

    plans: tuple[Plan, ...]
    notes: tuple[str, ...] = ()


def step_down(plans: Sequence[Plan], steps: int, fits: Fits) -> SteppedDown:
    """Apply `steps` steps to ranked plans. May leave none: then nothing that could survive fits."""
    left, notes = tuple(plans), []
    for number in range(1, steps + 1):
        if not left:
            break
        killed = left[0]
        leaner = [plan for plan in left if plan.memory.model_bytes <= LEANER * killed.memory.model_bytes]
        changed = [_at_least(plan, killed) for plan in leaner] if leaner else [_larger(plan) for plan in left]
        left = tuple(plan for plan in changed if fits(plan))
        notes.append(f"memory step {number}: {_told(killed, left, bool(leaner))}")
    return SteppedDown(left, tuple(notes))


def _at_least(plan: Plan, killed: Plan) -> Plan:
    """The request per accelerator is no lower than the one that was too small."""
    share = killed.memory_request_bytes / killed.allocation.accelerators_per_pod
    floor = round_to_mib(share * plan.allocation.accelerators_per_pod)
    return replace(plan, memory_request_bytes=max(plan.memory_request_bytes, floor))


def _larger(plan: Plan) -> Plan:
    memory = replace(plan.memory, safety=plan.memory.safety * LARGER)
    return replace(plan, memory=memory, memory_request_bytes=round_to_mib(plan.memory_request_bytes * LARGER))


def _told(killed: Plan, left: tuple[Plan, ...], leaner: bool) -> str:
    if not left:
        return f"{killed.strategy.signature} was killed for memory, and nothing leaner or larger fits"
    now, request = left[0], format_bytes(left[0].memory_request_bytes)
    if leaner:
        return (
            f"{killed.strategy.signature} was killed for memory; {now.strategy.signature} needs "
            f"{format_bytes(now.memory.model_bytes)} instead of {format_bytes(killed.memory.model_bytes)}, request {request}"
        )
    before = format_bytes(killed.memory_request_bytes)
    return f"no leaner plan than {killed.strategy.signature}; request raised from {before} to {request}"
