"""The policy: higher priority first, then the more urgent, then the older; whole gangs only.

For each job in that order, the first of these that applies:
1. its best plan that fits now starts, unless that would delay a job before it (which is what makes backfilling harmless);
2. a better plan fits as soon as gangs that are stopping already have left: it waits those seconds, and preempts nobody;
3. gangs of lower priority whose end makes room are asked to stop, the set that loses the least work, where the gain (the
   waiting that it is spared, in accelerator-seconds) exceeds twice the start-up of those that have to start again. Its own
   start-up is no part of that: it is paid now or later all the same;
4. it waits, and room is kept for it from the earliest second at which running gangs leave enough.

A job whose prepare attempt is still open starts nothing, but room is kept for the gang that follows: gangs that left for its
sake do not come back in between.

It never waits for a better plan while a worse one fits and no gang is stopping: a plan that runs now is worth more than one
that may run later, and a later release may rescale it.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

from farthing.domain.plan import Allocation, Plan
from farthing.domain.scheduling import Candidate, Preempt, RunningGang, SchedulingView, Start, Verdict, Wait
from farthing.scheduler.feasibility import could_ever_fit, place
from farthing.scheduler.outlook import Outlook
from farthing.scheduler.victims import cheapest, loss
from farthing.units import format_duration

GAIN_FACTOR: Final = 2.0
"""A preemption must gain more than this many times the start-up it causes (DESIGN 9)."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """What one job's turn leaves: the verdicts, and the outlook for those after it."""

    verdicts: tuple[Verdict, ...]
    outlook: Outlook


class PriorityUrgencyAge:
    """Priority, then budget urgency, then age."""

    name: str = "PriorityUrgencyAge"

    def decide(self, view: SchedulingView) -> tuple[Verdict, ...]:
        """Exactly one verdict a candidate, and a Preempt for every gang that has to leave for one, just before its Wait."""
        outlook = Outlook.of(view)
        verdicts: list[Verdict] = []
        victims: set[str] = set()
        for candidate in sorted(view.candidates, key=_rank):
            running = [gang for gang in view.running if gang.attempt not in victims]
            turn = _turn(candidate, running, outlook)
            victims |= {verdict.attempt for verdict in turn.verdicts if isinstance(verdict, Preempt)}
            verdicts += turn.verdicts
            outlook = turn.outlook
        return tuple(verdicts)


def _rank(candidate: Candidate) -> tuple[object, ...]:
    return -candidate.priority, -candidate.urgency, candidate.created, candidate.key


def _turn(candidate: Candidate, running: list[RunningGang], outlook: Outlook) -> _Turn:
    if not candidate.plans:
        return _wait(candidate, outlook, "no plan fits its budget and its pools")
    if not candidate.ready:
        return _keep_room(candidate, running, outlook)
    now, soon = _first_start(candidate, outlook), _first_start(candidate, outlook.emptied())
    if now is not None and (soon is None or now <= soon):
        return _start(candidate, candidate.plans[now], outlook)
    if soon is not None:
        return _wait_for_stopping(candidate, candidate.plans[soon], outlook)
    return _preempt(candidate, running, outlook)


def _first_start(candidate: Candidate, outlook: Outlook) -> int | None:
    """The index of the best plan that starts in this outlook without delaying anybody."""
    starting = (
        index
        for index, plan in enumerate(candidate.plans)
        if outlook.starts(candidate.key, plan.allocation, _lasts(candidate, plan))
    )
    return next(starting, None)


def _lasts(candidate: Candidate, plan: Plan) -> float:
    """Seconds from a start to the end that the job wants."""
    return plan.startup_seconds.value + candidate.value_seconds


def _start(candidate: Candidate, plan: Plan, outlook: Outlook) -> _Turn:
    free = sum(node.free for node in outlook.now(plan.allocation.pool))
    numbers = _numbers(candidate, plan) | {"free": str(free)}
    reason = (
        f"its whole gang of {_gang(plan.allocation)} fits: {free} accelerators are free there"
        f" (priority {candidate.priority}, urgency {candidate.urgency:.2f})"
    )
    start = Start(candidate.key, plan, reason, numbers)
    return _Turn((start,), outlook.starting(candidate.key, plan.allocation, _lasts(candidate, plan)))


def _keep_room(candidate: Candidate, running: list[RunningGang], outlook: Outlook) -> _Turn:
    """Room for the gang that follows an open prepare attempt, which is about to leave."""
    after = outlook.stopping(gang.attempt for gang in running if gang.key == candidate.key)
    plan = candidate.plans[0]
    kept = after.reserving(candidate.key, plan.allocation, after.earliest(plan.allocation))
    return _wait(candidate, kept, f"is being prepared; room is kept for {_gang(plan.allocation)}", plan)


def _wait_for_stopping(candidate: Candidate, plan: Plan, outlook: Outlook) -> _Turn:
    reason = f"waits for gangs that are stopping already: then its gang of {_gang(plan.allocation)} fits"
    return _wait(candidate, outlook.reserving(candidate.key, plan.allocation, 0.0), reason, plan)


def _preempt(candidate: Candidate, running: list[RunningGang], outlook: Outlook) -> _Turn:
    """Stop gangs of lower priority for its best plan that can be made room for and is worth it; else wait."""
    lower = [gang for gang in running if gang.preemptible and not gang.stopping and gang.priority < candidate.priority]
    refusals = []
    for plan in candidate.plans:
        victims = cheapest(plan.allocation, lower, outlook, name=candidate.key, lasts=_lasts(candidate, plan))
        if victims is None:
            continue
        gain, cost = _gain(candidate, plan, outlook), _restart_cost(victims)
        if gain > GAIN_FACTOR * cost:
            return _stop(candidate, plan, victims, outlook)
        refusals.append(
            f"stopping {_names(victims)} would spare {gain:.0f} accelerator-seconds of waiting, no more than"
            f" {GAIN_FACTOR:g} × the {cost:.0f} of starting again"
        )
    return _wait_for_capacity(candidate, outlook, refusals)


def _gain(candidate: Candidate, plan: Plan, outlook: Outlook) -> float:
    """Accelerator-seconds of waiting that the job is spared: until running gangs would leave room by themselves.

    A prepare attempt keeps the whole gang behind it waiting, so that gang counts.
    """
    return outlook.earliest(plan.allocation) * max(plan.allocation.accelerators, candidate.accelerators_behind)


def _restart_cost(victims: tuple[RunningGang, ...]) -> float:
    """Accelerator-seconds of start-up that a preemption causes: its victims', when they resume."""
    return sum(gang.restart_seconds * gang.allocation.accelerators for gang in victims)


def _stop(candidate: Candidate, plan: Plan, victims: tuple[RunningGang, ...], outlook: Outlook) -> _Turn:
    gain, cost, lost = _gain(candidate, plan, outlook), _restart_cost(victims), sum(map(loss, victims))
    numbers = _numbers(candidate, plan) | {
        "gain": f"{gain:.0f}",
        "restartCost": f"{cost:.0f}",
        "loss": f"{lost:.0f}",
    }
    reason = (
        f"makes room for {candidate.key} (priority {candidate.priority}, {_gang(plan.allocation)}): spares it {gain:.0f}"
        f" accelerator-seconds of waiting for {cost:.0f} of start-up; {lost:.0f} are lost with {_names(victims)}"
    )
    preempts = tuple(
        Preempt(gang.key, gang.attempt, candidate.key, reason, numbers | {"priority": str(gang.priority)}) for gang in victims
    )
    after = outlook.stopping(gang.attempt for gang in victims).reserving(candidate.key, plan.allocation, 0.0)
    waiting = f"waits for {_names(victims)} to stop: then its gang of {_gang(plan.allocation)} fits"
    return _Turn((*preempts, Wait(candidate.key, waiting, numbers)), after)


def _wait_for_capacity(candidate: Candidate, outlook: Outlook, refusals: list[str]) -> _Turn:
    """Wait, with room kept from the earliest second at which any of its plans fits (the best plan among equals)."""
    seconds = [outlook.earliest(plan.allocation) for plan in candidate.plans]
    best = min(range(len(seconds)), key=lambda index: (seconds[index], index))
    plan, at = candidate.plans[best], seconds[best]
    reason = "; ".join([_why_not(candidate, plan, at, outlook), *refusals])
    return _wait(candidate, outlook.reserving(candidate.key, plan.allocation, at), reason, plan)


def _why_not(candidate: Candidate, plan: Plan, at: float, outlook: Outlook) -> str:
    pool = plan.allocation.pool
    nodes = outlook.now(pool)
    if not could_ever_fit(plan.allocation, nodes):
        total = sum(node.total for node in nodes)
        return f"{_gang(plan.allocation)} never fit: its ready nodes have {total} accelerators in all"
    before = outlook.delayed_by(candidate.key, plan.allocation, _lasts(candidate, plan)) if _fits(plan, outlook) else None
    if before is not None:
        return f"{_gang(plan.allocation)} would fit now, but would delay {before}, which comes first"
    free = sum(node.free for node in nodes)
    when = "no running gang is known to make room" if at == inf else f"room is expected in {format_duration(at)}"
    return f"{_gang(plan.allocation)} do not fit: {free} accelerators are free; {when}"


def _fits(plan: Plan, outlook: Outlook) -> bool:
    return place(plan.allocation, outlook.now(plan.allocation.pool)) is not None


def _wait(candidate: Candidate, outlook: Outlook, reason: str, plan: Plan | None = None) -> _Turn:
    return _Turn((Wait(candidate.key, reason, _numbers(candidate, plan)),), outlook)


def _numbers(candidate: Candidate, plan: Plan | None) -> dict[str, str]:
    numbers = {
        "priority": str(candidate.priority),
        "urgency": f"{candidate.urgency:.2f}",
        "wantedSeconds": f"{candidate.value_seconds:.0f}",
    }
    if plan is not None:
        numbers |= {"pool": plan.allocation.pool, "accelerators": str(plan.allocation.accelerators)}
    return numbers


def _gang(allocation: Allocation) -> str:
    pods = "1 pod" if allocation.pods == 1 else f"{allocation.pods} pods"
    return f"{pods} of {allocation.accelerators_per_pod} on {allocation.pool}"


def _names(victims: tuple[RunningGang, ...]) -> str:
    return ", ".join(gang.attempt for gang in victims)
