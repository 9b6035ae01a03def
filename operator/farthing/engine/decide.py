"""Phase 3, decide: for each job its state, what is seen of it, the step that the lifecycle prescribes, and its actions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from farthing.api.conditions import Reason
from farthing.domain.decision import Action, Because, DeleteJob, Hold, ReleaseHold
from farthing.domain.scheduling import Policy, Preempt, Start, Verdict, Wait
from farthing.domain.snapshot import Attempt, PoolView, Snapshot
from farthing.engine import faults, situations, steps
from farthing.engine.deadlines import cut, job_deadline, lowers
from farthing.engine.lifecycle import Observation, State, Step, next_step
from farthing.engine.planning import Case
from farthing.engine.scheduling import allocation_of, fits, scheduling_view
from farthing.engine.standing import refused
from farthing.ledger.quotes import boundary
from farthing.settings import Settings
from farthing.units import parse_time

ORDER = {observation: place for place, observation in enumerate(Observation)}


@dataclass(frozen=True, slots=True)
class Decision:
    """What this cycle does for one job; for what a job left behind that is gone, `case` is None."""

    case: Case | None
    attempt: Attempt | None
    state: State
    step: Step
    seen: Observation | None
    actions: tuple[Action, ...]
    waiting: Because | None = None
    """Why nothing starts; shown in the conditions."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The policy's answer by job."""

    starts: Mapping[str, Start] = field(default_factory=dict)
    waits: Mapping[str, Wait] = field(default_factory=dict)
    preemptions: Mapping[str, Preempt] = field(default_factory=dict)


def decide(snapshot: Snapshot, cases: Sequence[Case], policy: Policy, settings: Settings) -> tuple[Decision, ...]:
    """One decision a job and an orphan. Jobs that end something come before those that start something."""
    verdicts = _sorted_out(policy.decide(scheduling_view(snapshot, cases)))
    verdicts = _without_overtakers(verdicts, cases)
    jobs = [_decide_job(case, verdicts, snapshot, settings) for case in cases]
    orphans = [_decide_orphan(attempt, snapshot, settings) for attempt in snapshot.orphans]
    return (*orphans, *_abandoned_holds(snapshot), *sorted(jobs, key=lambda decision: decision.step is Step.OPEN))


def _abandoned_holds(snapshot: Snapshot) -> list[Decision]:
    """Holds on accounts whose job is gone and that no record stands for."""
    known = {view.job.metadata.uid for view in snapshot.jobs} | {each.record.spec.job.uid for each in snapshot.orphans}
    why = Because(Reason.DELETED, "its job is gone, and it never had a spend record")
    found = [
        ReleaseHold(f"{budget.metadata.namespace}/{hold.job}", hold.attempt, budget.metadata.name, why)
        for _, budget in sorted(snapshot.accounts.items())
        for hold in budget.status.holds
        if hold.job_uid not in known
    ]
    return [Decision(None, None, State.DELETED, Step.RELEASE_HOLD, Observation.STALE_HOLD, (each,)) for each in found]


def _sorted_out(verdicts: Sequence[Verdict]) -> Verdicts:
    starts = {each.key: each for each in verdicts if isinstance(each, Start)}
    waits = {each.key: each for each in verdicts if isinstance(each, Wait)}
    preemptions = {each.attempt: each for each in verdicts if isinstance(each, Preempt)}
    return Verdicts(starts, waits, preemptions)


def _without_overtakers(verdicts: Verdicts, cases: Sequence[Case]) -> Verdicts:
    """Starts, less those that would take the room of a job of higher priority between two of its attempts.

    A job whose attempt is being settled in this cycle is no candidate yet: it will be in the next one, which comes at once.
    """
    returning = [case for case in cases if case.state is State.ENDING and _comes_back(case)]
    priority = {case.view.key: case.view.priority for case in cases}

    def overtakes(start: Start) -> bool:
        return any(
            case.view.priority > priority[start.key] and _pool_of(case) == start.plan.allocation.pool for case in returning
        )

    starts = {key: start for key, start in verdicts.starts.items() if not overtakes(start)}
    return Verdicts(starts, verdicts.waits, verdicts.preemptions)


def _comes_back(case: Case) -> bool:
    """Whether the job will want accelerators again: its train attempt did not land, and nobody suspended it."""
    attempt = case.view.open_attempt
    landed = attempt is not None and attempt.record.spec.stage == "Train" and attempt.job is not None and attempt.job.complete
    return not landed and not case.view.suspended


def _pool_of(case: Case) -> str | None:
    attempt = case.view.open_attempt
    return None if attempt is None else attempt.record.spec.pool


def _decide_job(case: Case, verdicts: Verdicts, snapshot: Snapshot, settings: Settings) -> Decision:
    seen = sorted(set(_observations(case, verdicts, snapshot, settings)), key=ORDER.__getitem__)
    step, observation = next_step(case.state, seen)
    waiting = _waiting(case, verdicts) if case.view.open_attempt is None else None
    try:
        actions = _actions(step, observation, case, verdicts, snapshot, settings, waiting)
    except Exception as error:
        if step is not Step.OPEN:
            raise
        step, waiting = Step.WAIT, faults.told(error)
        actions = (Hold(case.view.key, waiting),)
    return Decision(case, case.view.open_attempt, case.state, step, observation, actions, waiting)


def _decide_orphan(attempt: Attempt, snapshot: Snapshot, settings: Settings) -> Decision:
    seen = sorted(situations.orphan_observations(attempt, settings, snapshot.now), key=ORDER.__getitem__)
    step, observation = next_step(State.DELETED, seen)
    job = f"{attempt.record.metadata.namespace}/{attempt.record.spec.job.name}"
    actions: tuple[Action, ...] = ()
    if step is Step.SETTLE:
        actions = (steps.settle_orphan(job, attempt, snapshot.now),)
    elif step is Step.END:
        actions = steps.end_now(job, attempt, Because(Reason.DELETED, "its job is gone"))
    elif step is Step.CLEAN:
        actions = (steps.clean(job, attempt),)
    return Decision(None, attempt, State.DELETED, step, observation, actions)


def _observations(case: Case, verdicts: Verdicts, snapshot: Snapshot, settings: Settings) -> Iterator[Observation]:
    view, attempt = case.view, case.view.open_attempt
    if any(not each.open and situations.leftovers(each) for each in view.attempts):
        yield Observation.LEFTOVERS
    if stale_hold(case, snapshot) is not None and view.key not in verdicts.starts:
        yield Observation.STALE_HOLD
    if attempt is None:
        yield from _idle_observations(case, verdicts, snapshot)
        return
    for seen in situations.attempt_observations(view, attempt, case.state, settings, snapshot.now):
        if seen is not Observation.HALF_MADE or not _refused_lately(case, snapshot, settings):
            yield seen
    if attempt.name in verdicts.preemptions:
        yield Observation.PREEMPTED
    yield from _lease_observations(attempt, snapshot)


def _idle_observations(case: Case, verdicts: Verdicts, snapshot: Snapshot) -> Iterator[Observation]:
    yield Observation.CHOSEN if case.view.key in verdicts.starts else Observation.WAITING
    ttl, done = case.view.job.spec.ttl_seconds_after_finished, case.view.job.status.completion_time
    if ttl is not None and done is not None and snapshot.now >= parse_time(done) + timedelta(seconds=ttl):
        yield Observation.EXPIRED


def _refused_lately(case: Case, snapshot: Snapshot, settings: Settings) -> bool:
    """A start that the API server refused is not tried again in every cycle."""
    refusal = refused(case.view)
    return refusal is not None and snapshot.now < refusal[0] + timedelta(seconds=settings.cycle.refused_retry)


def _lease_observations(attempt: Attempt, snapshot: Snapshot) -> Iterator[Observation]:
    bound, record = attempt.first_bound_at, attempt.record
    pool = pool_view(snapshot, record.spec.pool)
    if pool is not None:
        if boundary(record, pool.pool.spec.price, snapshot.now, started_at=bound) is not None:
            yield Observation.PRICE_MOVED
        if attempt.job is not None and attempt.job.suspended and fits(pool, allocation_of(attempt)):
            yield Observation.GANG_FITS
    if bound is not None and lowers(attempt, job_deadline(attempt, record)):
        if cut(record, bound) > 0:
            yield Observation.SHRUNK
        elif situations.all_bound(attempt):
            yield Observation.BOUND


def pool_view(snapshot: Snapshot, name: str) -> PoolView | None:
    """The pool of that name with its nodes, or None."""
    return next((view for view in snapshot.pools if view.name == name), None)


def stale_hold(case: Case, snapshot: Snapshot) -> ReleaseHold | None:
    """A hold of the job that no open record stands for: a start or a settlement was cut off."""
    view = case.view
    recorded = {attempt.name for attempt in view.attempts if attempt.open}
    why = Because(Reason.RELEASED, "a start was cut off before its spend record was made, or a bill before it was booked")
    own = next((hold.attempt for hold in view.job.status.holds if hold.attempt not in recorded), None)
    if own is not None:
        return ReleaseHold(job=view.key, attempt=own, account=None, because=why)
    reference = view.job.spec.budget.account_ref
    account = snapshot.account(view.namespace, reference.name) if reference else None
    for hold in account.status.holds if account is not None and reference is not None else ():
        if hold.job_uid == view.job.metadata.uid and hold.attempt not in recorded:
            return ReleaseHold(
                job=view.key, attempt=hold.attempt, account=account.metadata.name if account else None, because=why
            )
    return None


def _waiting(case: Case, verdicts: Verdicts) -> Because | None:
    """Why nothing starts: what is wrong, what is used up, or what the policy says."""
    intent = case.intent
    known = intent.problem or intent.exhausted or intent.waiting
    if known is not None:
        return known
    verdict = verdicts.waits.get(case.view.key)
    if verdict is not None:
        return Because(Reason.QUEUED, verdict.reason, verdict.numbers)
    if case.state in (State.NEW, State.QUEUED) and case.view.key not in verdicts.starts:
        return Because(Reason.QUEUED, "waits for accelerators")
    return None


def _actions(
    step: Step,
    seen: Observation | None,
    case: Case,
    verdicts: Verdicts,
    snapshot: Snapshot,
    settings: Settings,
    waiting: Because | None,
) -> tuple[Action, ...]:
    """The actions of a step, in the order in which they are carried out."""
    if step in (Step.REST, Step.WAIT):
        return (Hold(case.view.key, waiting),) if waiting is not None else ()
    if step is Step.OPEN:
        return _open(case, verdicts.starts[case.view.key], snapshot, settings)
    if step is Step.RELEASE_HOLD:
        stale = stale_hold(case, snapshot)
        return () if stale is None else (stale,)
    if step is Step.DELETE:
        return (DeleteJob(case.view.key, Because(Reason.TTL_EXPIRED, "ttlSecondsAfterFinished has passed")),)
    if step is Step.CLEAN:
        attempt = next(each for each in case.view.attempts if not each.open and situations.leftovers(each))
        return (steps.clean(case.view.key, attempt),)
    return _attempt_actions(step, seen, case, verdicts, snapshot, settings)


def _open(case: Case, start: Start, snapshot: Snapshot, settings: Settings) -> tuple[Action, ...]:
    """A hold that a start left behind goes first: a leader that is about to drop it would drop it from under a new record."""
    action = steps.open_attempt(case, start, snapshot, settings)
    if action is None:
        return ()
    stale = stale_hold(case, snapshot)
    return (action,) if stale is None else (stale,)


def _attempt_actions(
    step: Step, seen: Observation | None, case: Case, verdicts: Verdicts, snapshot: Snapshot, settings: Settings
) -> tuple[Action, ...]:
    attempt = case.view.open_attempt
    assert attempt is not None, "the lifecycle prescribes these steps only while a bill is open"
    pool = pool_view(snapshot, attempt.record.spec.pool)
    if step is Step.CONTINUE:
        return steps.go_on(case, attempt)
    if step is Step.RELEASE:
        return (steps.release(case, attempt),)
    if step is Step.ASK:
        return (steps.ask(case, attempt, seen, verdicts.preemptions.get(attempt.name), snapshot.now, settings),)
    if step is Step.POST:
        return steps.post(case, attempt, snapshot.now)
    if step is Step.END:
        return steps.end_now(case.view.key, attempt, steps.why_end(case, attempt, seen))
    if step is Step.QUOTE:
        return steps.requote(case, attempt, pool, snapshot.now)
    if step in (Step.SHORTEN, Step.TIGHTEN):
        return steps.shorten(case.view.key, attempt, attempt.record, tell=step is Step.SHORTEN)
    return (steps.settle(case, attempt, snapshot.now),)
