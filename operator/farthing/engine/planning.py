"""Phase 2, plan: what could be started for each job that wants to be, with a lease that the books allow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from farthing.api import GPUNodePool
from farthing.api.conditions import Reason
from farthing.domain.decision import Because, Lease
from farthing.domain.plan import Plan, PlanSet
from farthing.domain.planning import Measurement, PlanRequest
from farthing.domain.snapshot import JobView, Snapshot
from farthing.engine import faults
from farthing.engine.leases import lease_for
from farthing.engine.lifecycle import State
from farthing.engine.measure import measurements
from farthing.engine.opening import plan_of
from farthing.engine.shortlist import prepare_plans, shown
from farthing.engine.situations import Ending, state_of
from farthing.engine.standing import Standing, ending_of, problem_of, refused, standing, usable_pools
from farthing.errors import InsufficientBudget, UserError
from farthing.planner.request import plan_request
from farthing.settings import Settings
from farthing.units import format_time

Planner = Callable[[PlanRequest], PlanSet]

BUDGET = "budget:"
"""Prefix of the planner's constraints that more budget would lift: once it has trained, a job that meets one has used it up."""
_ATTEMPT_STATES = frozenset({State.OPENED, State.STARTING, State.RUNNING, State.STOPPING, State.ENDING})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan together with the lease that would be granted for it now."""

    plan: Plan
    lease: Lease


@dataclass(frozen=True, slots=True)
class Intent:
    """What could be started for one job, or why nothing can."""

    candidates: tuple[Candidate, ...] = ()
    plans: PlanSet | None = None
    problem: Because | None = None
    """The spec cannot be obeyed: Stalled."""
    exhausted: Because | None = None
    """The job's own budget buys nothing more."""
    waiting: Because | None = None
    """The account buys nothing now."""


@dataclass(frozen=True, slots=True)
class Case:
    """One job on the table of this cycle."""

    view: JobView
    books: Standing
    intent: Intent
    ending: Ending | None
    state: State


class CachedPlanner:
    """A planner that answers the same question once: plans change only with their inputs."""

    def __init__(self, planner: Planner, size: int = 512) -> None:
        self._planner = planner
        self._size = size
        self._answers: dict[str, PlanSet] = {}

    def __call__(self, request: PlanRequest) -> PlanSet:
        """The planner's answer; raises what it raises."""
        key = repr(request)
        if key not in self._answers:
            while len(self._answers) >= self._size:
                del self._answers[next(iter(self._answers))]
            self._answers[key] = self._planner(request)
        return self._answers[key]


def plan_cases(snapshot: Snapshot, planner: Planner, settings: Settings) -> tuple[Case, ...]:
    """Every job with its books; candidates only for those that want to start."""
    known = measurements(snapshot)
    return tuple(
        _case(view, snapshot, planner, settings, known.for_job(view.job.metadata.uid, view.namespace)) for view in snapshot.jobs
    )


def _case(view: JobView, snapshot: Snapshot, planner: Planner, settings: Settings, known: Sequence[Measurement]) -> Case:
    books = standing(view, snapshot.now)
    intent, ending = Intent(), ending_of(view, books, None)
    state = state_of(view, ending, None)
    if state in (State.NEW, State.QUEUED):
        intent = _intent(view, books, snapshot, planner, settings, known)
        ending = ending_of(view, books, intent.exhausted)
        state = state_of(view, ending, intent.problem or intent.exhausted)
    elif _being_prepared(view, state):
        intent = Intent(plans=_plans_after(view, snapshot, planner, known))
    return Case(view, books, intent, ending, state)


def _intent(
    view: JobView, books: Standing, snapshot: Snapshot, planner: Planner, settings: Settings, known: Sequence[Measurement]
) -> Intent:
    """`intend`, whose own faults are this job's trouble alone."""
    try:
        return intend(view, books, snapshot, planner, settings, known)
    except Exception as error:  # noqa: BLE001 - told of the job; nothing was done yet that could be half done
        return Intent(problem=faults.told(error))


def _being_prepared(view: JobView, state: State) -> bool:
    attempt = view.open_attempt
    wanted = state in _ATTEMPT_STATES and not view.suspended
    return wanted and attempt is not None and attempt.record.spec.stage == "Prepare"


def _plans_after(view: JobView, snapshot: Snapshot, planner: Planner, known: Sequence[Measurement]) -> PlanSet | None:
    """What will train once the open prepare attempt is over: planned as if its hold were free already."""
    settled = replace(view, attempts=tuple(attempt for attempt in view.attempts if not attempt.open))
    if problem_of(settled, snapshot) is not None:
        return None
    try:
        return planner(_request(settled, standing(settled, snapshot.now), snapshot, known))
    except Exception:  # noqa: BLE001 - said of the job itself as soon as its attempt is over and it asks for a plan
        return None


def intend(
    view: JobView, books: Standing, snapshot: Snapshot, planner: Planner, settings: Settings, known: Sequence[Measurement]
) -> Intent:
    """Plans for a job that wants to start, each with its lease."""
    problem = problem_of(view, snapshot)
    if problem is not None:
        return Intent(problem=problem)
    pause = _pause(view, books, snapshot.now, settings)
    if pause is not None:
        return Intent(waiting=pause)
    try:
        plans = planner(_request(view, books, snapshot, known))
    except UserError as error:
        return _without_plan(view, books, snapshot, settings, Because(error.reason, str(error)))
    if not plans.plans and books.tokens_done and any(each.constraint.startswith(BUDGET) for each in plans.rejections):
        return Intent(plans=plans, exhausted=Because(Reason.BUDGET_EXHAUSTED, _why_no_plan(plans)))
    if not plans.plans:
        return _without_plan(view, books, snapshot, settings, Because(Reason.NO_PLAN, _why_no_plan(plans)))
    stage_plans = plans.plans if books.stage == "Train" else prepare_plans(plans, settings, with_nodes(snapshot))
    return _with_leases(view, books, snapshot, settings, plans, shown(stage_plans))


def _why_no_plan(plans: PlanSet) -> str:
    """What was tried and what stood in its way; after kills for memory, that nothing is left to step down to."""
    told = [*plans.notes[-1:], *(str(each) for each in plans.rejections[:3])] or ["nothing legal fits"]
    way_out = "give spec.compute or spec.budget more room, or choose a smaller model or a pool with more memory"
    return f"{'; '.join(told)}; {way_out}"


def _pause(view: JobView, books: Standing, now: datetime, settings: Settings) -> Because | None:
    """A failed attempt is followed by a delay, and what the API server refused is not tried in every cycle."""
    if books.retry.not_before is not None and now < books.retry.not_before:
        return Because(Reason.QUEUED, books.retry.reason, {"notBefore": format_time(books.retry.not_before)})
    refusal = refused(view)
    if refusal is not None and now < refusal[0] + timedelta(seconds=settings.cycle.refused_retry):
        return Because(Reason.REFUSED, refusal[1])
    return None


def _request(view: JobView, books: Standing, snapshot: Snapshot, known: Sequence[Measurement]) -> PlanRequest:
    pools = usable_pools(view, snapshot)
    startup = {pool.metadata.name: float(text) for pool in pools if (text := pool.status.startup_seconds) is not None}
    unique = None if books.prepared is None else books.prepared.status.prepared_tokens
    return plan_request(
        view.job.spec,
        pools,
        remaining=books.balance.remaining,
        seconds_left=books.seconds_left,
        tokens_done=books.tokens_done,
        unique_tokens=unique,
        memory_steps=books.memory_steps,
        measurements=tuple(known),
        startup_seconds=startup,
    )


def _without_plan(view: JobView, books: Standing, snapshot: Snapshot, settings: Settings, why: Because) -> Intent:
    """A planner without an answer: the budget is used up where even the last plan can get no lease any more."""
    last = next((plan for each in reversed(view.attempts) if (plan := plan_of(each.record)) is not None), None)
    pool = None if last is None else pool_of(snapshot, last.allocation.pool)
    if last is not None and pool is not None:
        try:
            lease_for(view, books, last, pool, snapshot, settings, on_account=False)
        except InsufficientBudget as error:
            return Intent(exhausted=Because(Reason.BUDGET_EXHAUSTED, str(error)))
    return Intent(problem=why)


def _with_leases(
    view: JobView, books: Standing, snapshot: Snapshot, settings: Settings, plans: PlanSet, wanted: Sequence[Plan]
) -> Intent:
    """The plans that a lease can be granted for; none: whose budget it is that stands in the way."""
    candidates: list[Candidate] = []
    refusals: list[InsufficientBudget] = []
    wrong: list[UserError] = []
    for plan in wanted:
        pool = pool_of(snapshot, plan.allocation.pool)
        if pool is None:
            continue
        try:
            candidates.append(Candidate(plan, lease_for(view, books, plan, pool, snapshot, settings)))
        except InsufficientBudget as error:
            refusals.append(error)
        except UserError as error:
            wrong.append(error)
    if not candidates and wrong:
        return Intent(plans=plans, problem=Because(wrong[0].reason, str(wrong[0])))
    if candidates or not refusals:
        return Intent(tuple(candidates), plans)
    return _refused_lease(view, books, snapshot, settings, plans, wanted, str(refusals[0]))


def _refused_lease(
    view: JobView,
    books: Standing,
    snapshot: Snapshot,
    settings: Settings,
    plans: PlanSet,
    wanted: Sequence[Plan],
    why: str,
) -> Intent:
    """Whether the job's own budget would have sufficed: then it waits for the account, else its budget is used up."""
    for plan in wanted:
        pool = pool_of(snapshot, plan.allocation.pool)
        try:
            if pool is not None:
                lease_for(view, books, plan, pool, snapshot, settings, on_account=False)
                return Intent(plans=plans, waiting=Because(Reason.ACCOUNT_EXHAUSTED, why))
        except InsufficientBudget:
            continue  # the next plan may be cheaper; none is: the budget is used up
    return Intent(plans=plans, exhausted=Because(Reason.BUDGET_EXHAUSTED, why))


def pool_of(snapshot: Snapshot, name: str) -> GPUNodePool | None:
    """The pool of that name, or None."""
    return next((view.pool for view in snapshot.pools if view.name == name), None)


def with_nodes(snapshot: Snapshot) -> frozenset[str]:
    """Names of the pools that have a ready node now."""
    return frozenset(view.name for view in snapshot.pools if any(node.ready for node in view.nodes))
