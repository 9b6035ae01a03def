"""The question to the policy: who wants accelerators, who has them, and what is free."""

from collections.abc import Sequence
from datetime import datetime

from farthing.domain.plan import Allocation, Plan
from farthing.domain.scheduling import Candidate, NodeCapacity, PoolCapacity, RunningGang, SchedulingView
from farthing.domain.snapshot import Attempt, JobView, PoolView, Snapshot
from farthing.engine.lifecycle import State
from farthing.engine.measure import startup_seconds
from farthing.engine.opening import plan_of
from farthing.engine.planning import Case
from farthing.engine.shortlist import shown
from farthing.scheduler.feasibility import place
from farthing.scheduler.urgency import urgency
from farthing.units import parse_time

STOPPING_STATES = frozenset({State.STOPPING, State.ENDING, State.DELETED})


def scheduling_view(snapshot: Snapshot, cases: Sequence[Case]) -> SchedulingView:
    """Everything that a policy decides on. Gangs of jobs that are gone hold what they hold until they have ended."""
    waiting = [case for case in cases if case.view.open_attempt is None and case.intent.candidates]
    prepared = [case for case in cases if case.view.open_attempt is not None and case.intent.plans and case.intent.plans.plans]
    holding = [(case, attempt) for case in cases if (attempt := case.view.open_attempt) is not None]
    return SchedulingView(
        now=snapshot.now,
        candidates=tuple(_candidate(case, snapshot) for case in (*waiting, *prepared)),
        running=tuple(_gang(case, attempt) for case, attempt in holding if case.state is not State.ENDING),
        pools=tuple(PoolCapacity(view.name, _ready(view)) for view in snapshot.pools),
    )


def fits(view: PoolView, allocation: Allocation) -> bool:
    """Whether the whole gang fits on what is free now."""
    return place(allocation, _ready(view)) is not None


def allocation_of(attempt: Attempt) -> Allocation:
    """Where the attempt runs, as its record says."""
    spec = attempt.record.spec
    return Allocation(spec.pool, spec.accelerator, spec.pods, spec.accelerators_per_pod)


def _ready(view: PoolView) -> tuple[NodeCapacity, ...]:
    return tuple(NodeCapacity(node.name, node.accelerators, node.free) for node in view.nodes if node.ready)


def _candidate(case: Case, snapshot: Snapshot) -> Candidate:
    ready = case.view.open_attempt is None
    plans = tuple(each.plan for each in case.intent.candidates) if ready else _following(case)
    meta = case.view.job.metadata
    created = parse_time(meta.creation_timestamp) if meta.creation_timestamp else snapshot.now
    deadline = case.view.job.spec.budget.deadline
    return Candidate(
        key=case.view.key,
        priority=case.view.priority,
        created=created,
        urgency=urgency(
            now=snapshot.now,
            created=created,
            deadline=parse_time(deadline) if deadline else None,
            window_end=_window_end(case, snapshot),
            work_seconds=plans[0].seconds.value + plans[0].startup_seconds.value,
        ),
        plans=plans,
        value_seconds=_value(case, plans[0]),
        accelerators_behind=_behind(case),
        ready=ready,
    )


def _following(case: Case) -> tuple[Plan, ...]:
    """The plans of the training that follows an open prepare attempt."""
    return () if case.intent.plans is None else shown(case.intent.plans.plans)


def _value(case: Case, plan: Plan) -> float:
    """Gang seconds that the job wants: behind a prepare attempt stands the training that it is made for."""
    best = case.intent.plans.best if case.intent.plans is not None else None
    wanted = best or plan
    return wanted.seconds.value * wanted.allocation.accelerators / plan.allocation.accelerators


def _behind(case: Case) -> int:
    """Accelerators of the training that the job is after, as far as it is planned."""
    best = case.intent.plans.best if case.intent.plans is not None else None
    return 0 if best is None else best.allocation.accelerators


def _window_end(case: Case, snapshot: Snapshot) -> datetime | None:
    """When what the account's window leaves over is lost; None without a window, or where it is carried over."""
    reference = case.view.job.spec.budget.account_ref
    account = snapshot.account(case.view.namespace, reference.name) if reference else None
    if account is None or account.spec.carry_over or account.status.window is None:
        return None
    return parse_time(account.status.window.end)


def _gang(case: Case, attempt: Attempt) -> RunningGang:
    view, plan = case.view, plan_of(attempt.record)
    meta = view.job.metadata
    startup = startup_seconds(view) or (plan.startup_seconds.value if plan is not None else 0.0)
    return RunningGang(
        key=view.key,
        attempt=attempt.name,
        allocation=allocation_of(attempt),
        nodes=tuple(pod.node for pod in attempt.pods if pod.node is not None and not pod.terminal),
        priority=view.priority,
        created=parse_time(meta.creation_timestamp or attempt.record.spec.opened_at),
        lost_work_seconds=lost_work(view, attempt),
        restart_seconds=startup,
        remaining_seconds=_remaining(attempt),
        stopping=case.state in STOPPING_STATES or view.suspended,
    )


def lost_work(view: JobView, attempt: Attempt) -> float:
    """Accelerator-seconds lost by stopping now: one save where the trainer answers, else all since the newest checkpoint."""
    accelerators, plan = allocation_of(attempt).accelerators, plan_of(attempt.record)
    progress = attempt.progress
    if progress is None or plan is None:
        return 0.0
    save = progress.checkpoint.seconds if progress.checkpoint else plan.checkpoint_seconds.value
    if not attempt.unreachable_polls:
        return save * accelerators
    durable = progress.checkpoint.step if progress.checkpoint else progress.resumed_from or 0
    return max(0, progress.step - durable) * (progress.step_seconds or plan.step_seconds.value) * accelerators


def _remaining(attempt: Attempt) -> float:
    """Seconds that the gang will still run: what the trainer says, else its whole lease."""
    progress = attempt.progress
    if progress is not None and progress.eta_seconds is not None:
        return progress.eta_seconds
    return float(attempt.record.spec.ends.trainer)
