"""The actions of each step of the lifecycle, with the reason and the numbers that `farthing why` prints."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

from farthing.api import SpendRecord
from farthing.api.conditions import Reason
from farthing.api.spend import SpendRecordStatus
from farthing.contract.handshake import CheckpointRequest, RequestReason
from farthing.contract.names import request_id
from farthing.domain.decision import (
    Action,
    AppendQuote,
    Because,
    CleanUpAttempt,
    EndPods,
    LowerDeadline,
    OpenAttempt,
    ReleaseAttempt,
    RequestCheckpoint,
    SettleAttempt,
    UpdateLease,
)
from farthing.domain.outcome import Outcome
from farthing.domain.scheduling import Preempt, Start
from farthing.domain.snapshot import Attempt, JobView, PoolView, Snapshot
from farthing.engine.deadlines import NOW, job_deadline, lease_update, lowers, with_quote
from farthing.engine.lifecycle import Observation, State
from farthing.engine.opening import reopened, taught
from farthing.engine.planning import Case, pool_of
from farthing.engine.raises import from_trunk
from farthing.engine.runconfig import AttemptIdentity, run_config
from farthing.engine.situations import acknowledged, stop_request
from farthing.engine.standing import next_attempt_name
from farthing.ledger.balance import balance
from farthing.ledger.quotes import boundary
from farthing.ledger.report import newest_report
from farthing.ledger.settle import MAX_MESSAGE, settlement
from farthing.settings import Settings
from farthing.units import format_duration, format_time, parse_time


def open_attempt(case: Case, start: Start, snapshot: Snapshot, settings: Settings) -> OpenAttempt | None:
    """Reserve and start the plan that the policy chose; None where the plan is not one that was offered."""
    chosen = next((each for each in case.intent.candidates if each.plan == start.plan), None)
    pool = None if chosen is None else pool_of(snapshot, chosen.plan.allocation.pool)
    if chosen is None or pool is None:
        return None
    view, books = case.view, case.books
    back = from_trunk([attempt.record for attempt in view.attempts])
    identity = AttemptIdentity(next_attempt_name(view), books.next_number, books.stage, from_trunk=back)
    lease, allocation = chosen.lease, chosen.plan.allocation
    held = {f"held.{axis}": f"{amount:f}" for axis, amount in lease.held.items()}
    numbers = {**start.numbers, **held, "leaseSeconds": str(lease.ends.trainer), "binding": lease.binding}
    message = (
        f"{identity.stage.lower()} attempt {identity.name}: {allocation.pods} × {allocation.accelerators_per_pod}"
        f" {allocation.accelerator} on {allocation.pool}, at most {format_duration(lease.ends.hard)} ({start.reason})"
    )
    corrected = taught(chosen.plan) if books.stage == "Train" else ""
    return OpenAttempt(
        job=view.key,
        attempt=identity.name,
        number=identity.number,
        stage=identity.stage,
        plan=chosen.plan,
        lease=lease,
        run_config=run_config(view.job, identity, chosen.plan, lease, pool, snapshot.now),
        because=Because(Reason.STARTED, "; ".join(part for part in (message, corrected) if part), numbers),
    )


def go_on(case: Case, attempt: Attempt) -> tuple[Action, ...]:
    """The start that the record describes, once more; nothing where it describes none (the startup timeout ends it)."""
    action = reopened(attempt.record, case.view.key)
    return () if action is None else (action,)


def release(case: Case, attempt: Attempt) -> ReleaseAttempt:
    """Let the suspended Job run."""
    return ReleaseAttempt(case.view.key, attempt.name, Because(Reason.RELEASED, f"the whole gang of {attempt.name} fits"))


def ask(
    case: Case, attempt: Attempt, seen: Observation | None, verdict: Preempt | None, now: datetime, settings: Settings
) -> RequestCheckpoint:
    """The handshake that stops an attempt on purpose."""
    reason, because = _cause(attempt, seen, verdict, case.view.suspended_by)
    seconds = settings.handshake.deadline
    request = CheckpointRequest(
        id=request_id(attempt.name, reason, case.view.job.metadata.generation),
        reason=reason,
        then="Stop",
        deadline_seconds=seconds,
    )
    return RequestCheckpoint(case.view.key, attempt.name, request, now + timedelta(seconds=seconds), because)


def _cause(
    attempt: Attempt, seen: Observation | None, verdict: Preempt | None, suspended_by: str | None
) -> tuple[RequestReason, Because]:
    if seen is Observation.PREEMPTED and verdict is not None:
        message = f"{attempt.name} gives its accelerators to {verdict.for_key}: {verdict.reason}"
        return "Preempted", Because(Reason.PREEMPTED, message, {**verdict.numbers, "for": verdict.for_key})
    if seen is Observation.SUSPEND_WANTED:
        return "Suspended", Because(Reason.SUSPENDED, f"{suspended_by}: {attempt.name} is checkpointed and stopped")
    return "UserRequest", Because(Reason.DELETED, f"{attempt.name} is checkpointed and stopped: its job or its Job was deleted")


def post(case: Case, attempt: Attempt, now: datetime) -> tuple[Action, ...]:
    """Send the request that stands in the status."""
    request = stop_request(case.view, attempt)
    if request is None:
        return ()
    deadline = parse_time(request.deadline)
    message = CheckpointRequest(
        id=request.id,
        reason=cast("RequestReason", request.reason),
        then="Stop",
        deadline_seconds=max(1.0, (deadline - now).total_seconds()),
    )
    because = Because(request.reason, f"asks rank 0 of {attempt.name}")
    return (RequestCheckpoint(case.view.key, attempt.name, message, deadline, because),)


def why_end(case: Case, attempt: Attempt, seen: Observation | None) -> Because:
    """Why the Job's deadline is lowered to now."""
    if seen is Observation.ACKNOWLEDGED:
        request = stop_request(case.view, attempt)
        step = request.acknowledged_step if request else None
        message = f"{attempt.name} stops: its checkpoint{'' if step is None else f' of step {step}'} is durable"
        return Because(Reason.STOPPED, message)
    if seen is Observation.LATE:
        waiting = next((f": {pod.waiting_reason} {pod.waiting_message}" for pod in attempt.pods if pod.waiting_reason), "")
        timeout = format_duration(attempt.record.spec.ends.startup_timeout)
        return Because(Reason.PODS_READY_TIMEOUT, f"not every pod of {attempt.name} is ready after {timeout}{waiting}"[:1024])
    if seen is Observation.UNANSWERED:
        return Because(
            Reason.STOPPED, f"{attempt.name} stops by SIGTERM: the request was not answered in time, or has nobody to answer it"
        )
    return Because(Reason.DELETED, f"{attempt.name} ends with its job")


def end_now(job: str, attempt: Attempt, because: Because) -> tuple[Action, ...]:
    """Lower the Job's deadline to now, or delete the pods whose Job is gone; nothing where that is done."""
    if attempt.job is None and any(pod.deleted_at is None and not pod.terminal for pod in attempt.pods):
        return (EndPods(job, attempt.name, because),)
    return (LowerDeadline(job, attempt.name, NOW, because),) if lowers(attempt, NOW) else ()


def requote(case: Case, attempt: Attempt, pool: PoolView | None, now: datetime) -> tuple[Action, ...]:
    """A new price: the lease is shortened for it first, then the quote is written, so that a crash between leaves it short."""
    bound = attempt.first_bound_at
    quote = None if pool is None else boundary(attempt.record, pool.pool.spec.price, now, started_at=bound)
    if quote is None:
        return ()
    numbers = {"from": attempt.record.spec.quote.per_accelerator_hour or "", "to": quote.per_accelerator_hour or ""}
    because = Because(Reason.PRICE_CHANGED, f"{attempt.name} pays the new price from {quote.from_time} on", numbers)
    shortened = shorten(case.view.key, attempt, with_quote(attempt.record, quote), tell=True)
    return (*shortened, AppendQuote(case.view.key, attempt.name, quote, because))


def shorten(job: str, attempt: Attempt, record: SpendRecord, *, tell: bool) -> tuple[Action, ...]:
    """Trainer first (`tell`), then the Job's deadline, as `record` has them; nothing where that deadline stands already."""
    deadline = job_deadline(attempt, record)
    if deadline is None or not lowers(attempt, deadline):
        return ()
    update = lease_update(attempt, record) if tell else None
    told = Because(Reason.PRICE_CHANGED, f"{attempt.name} has to land earlier: what is held buys less time at the new price")
    numbers = {"activeDeadlineSeconds": str(deadline)}
    message = f"the Job of {attempt.name} ends with its lease, {deadline} s after its start"
    lowered = LowerDeadline(
        job, attempt.name, deadline, Because(Reason.STARTED if not tell else Reason.PRICE_CHANGED, message, numbers)
    )
    return (lowered,) if update is None else (UpdateLease(job, attempt.name, update, told), lowered)


def settle(case: Case, attempt: Attempt, now: datetime) -> SettleAttempt:
    """Close the bill of a job's attempt."""
    view = case.view
    request = stop_request(view, attempt)
    earlier = [each.record for each in view.attempts if each.name != attempt.name]
    deleted = case.state is State.DELETED or view.job.metadata.deletion_timestamp is not None
    status = settlement(
        _as_remembered(case, attempt),
        now=now,
        acknowledged=acknowledged(attempt, request),
        deleted=deleted,
        lineage_before=balance({}, earlier).lineage_tokens,
    )
    return _settle_action(view.key, attempt, _with_cause(view, attempt, with_product(attempt, status)), deleted)


def settle_orphan(job: str, attempt: Attempt, now: datetime) -> SettleAttempt:
    """Close the bill of an attempt whose job is gone."""
    return _settle_action(job, attempt, settlement(attempt, now=now, acknowledged=False, deleted=True), True)


def clean(job: str, attempt: Attempt) -> CleanUpAttempt:
    """Remove what is left of a settled attempt."""
    return CleanUpAttempt(job, attempt.name, Because(Reason.SETTLED, f"{attempt.name} is settled"))


def _settle_action(job: str, attempt: Attempt, status: SpendRecordStatus, deleted: bool) -> SettleAttempt:
    charged = {} if status.charged is None else {f"charged.{k}": f"{v:f}" for k, v in status.charged.as_decimals().items()}
    numbers = {**charged, "outcome": status.outcome or "", "lostSteps": str(status.lost_steps)}
    message = f"{attempt.name} ended ({status.outcome}): {status.message}"[:1024]
    return SettleAttempt(job, attempt.name, attempt.record, status, Because(Reason.SETTLED, message, numbers), deleted)


def with_product(attempt: Attempt, status: SpendRecordStatus) -> SpendRecordStatus:
    """The status with what a prepare attempt found, from its last word."""
    progress = newest_report(attempt).progress
    if progress is None or progress.prepared_digest is None or attempt.record.spec.stage != "Prepare":
        return status
    return status.model_copy(update={"prepared_tokens": progress.prepared_tokens, "prepared_digest": progress.prepared_digest})


def _with_cause(view: JobView, attempt: Attempt, status: SpendRecordStatus) -> SpendRecordStatus:
    """The status with what its pods waited for when they were given up: pods that have ended no longer say."""
    if status.outcome != Outcome.PODS_READY_TIMEOUT:
        return status
    ends = (each for each in reversed(view.job.status.decisions) if each.reason == Reason.PODS_READY_TIMEOUT)
    told = next((each.message for each in ends if attempt.name in each.message), "")
    cause = told.partition(": ")[2]
    return status.model_copy(update={"message": f"{status.message}; last seen: {cause}"[:MAX_MESSAGE]}) if cause else status


def _as_remembered(case: Case, attempt: Attempt) -> Attempt:
    """The attempt with the start that its job's status remembers, where nothing that is left of it tells one."""
    noted = next((each for each in case.view.job.status.attempts if each.name == attempt.name and each.start_time), None)
    if noted is None or attempt.first_bound_at is not None or attempt.record.status.started_at is not None:
        return attempt
    status = attempt.record.status.model_copy(update={"started_at": format_time(parse_time(noted.start_time or ""))})
    return replace(attempt, record=attempt.record.model_copy(update={"status": status}))
