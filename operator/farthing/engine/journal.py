"""The decision log of a job: one entry for each decision that was carried out, none for what merely goes on.

`farthing why` prints it, and each new entry becomes an Event. What a crash kept from being written down is found again in the
spend records.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from farthing.api.conditions import Reason
from farthing.api.job_status import BudgetedTrainingJobStatus, DecisionStatus, RequestStatus
from farthing.domain.decision import (
    Action,
    AppendQuote,
    Because,
    DeleteJob,
    EndPods,
    Hold,
    LowerDeadline,
    OpenAttempt,
    ReleaseAttempt,
    ReleaseHold,
    RequestCheckpoint,
    SettleAttempt,
    UpdateLease,
)
from farthing.domain.snapshot import Attempt
from farthing.engine.conditions import same_meaning
from farthing.engine.opening import because_of
from farthing.engine.situations import Ending
from farthing.units import format_time

LENGTH: Final = 64
"""Newest entries that are kept; the rest lives in events and logs."""
MAX_NUMBERS: Final = 24
NAMES: Final[dict[type, str]] = {
    OpenAttempt: "Start",
    ReleaseAttempt: "Release",
    LowerDeadline: "LowerDeadline",
    EndPods: "EndPods",
    RequestCheckpoint: "RequestStop",
    UpdateLease: "ShortenLease",
    AppendQuote: "Requote",
    SettleAttempt: "Settle",
    ReleaseHold: "ReleaseHold",
    DeleteJob: "Delete",
    Hold: "Wait",
}
"""By action; what is not here is housekeeping and no decision."""
WARNINGS: Final = frozenset(
    {Reason.REFUSED, Reason.BACKOFF_LIMIT_EXCEEDED, Reason.BUDGET_EXHAUSTED, Reason.DEADLINE_EXCEEDED, Reason.CHECKPOINT_FAILED,
     Reason.PODS_READY_TIMEOUT, Reason.NODE_UNREACHABLE, Reason.BAD_CONFIG, Reason.NO_PLAN, Reason.NEVER_FITS}
)  # fmt: skip


def new_entries(
    done: Sequence[Action],
    refusal: Because | None,
    ending: Ending | None,
    request: RequestStatus | None,
    attempts: Sequence[Attempt],
    previous: BudgetedTrainingJobStatus,
    now: datetime,
) -> list[DecisionStatus]:
    """What has to be written down now."""
    time = format_time(now)
    found = [*_recovered(done, attempts, previous), *_carried_out(done, previous, time), *_answers(request, previous, time)]
    if refusal is not None:
        found.append(_entry("Refused", refusal, time))
    if ending is not None and previous.completion_time is None:
        found.append(_entry("Finish", ending.because, time))
    return [entry for entry in found if not _repeats(entry, previous.decisions)]


def appended(log: Sequence[DecisionStatus], entries: Sequence[DecisionStatus]) -> list[DecisionStatus]:
    """The log with the new entries; a refusal that is repeated only moves its time."""
    kept = list(log)
    for entry in entries:
        last = kept[-1] if kept else None
        if entry.action == "Refused" and last is not None and _alike(last, entry):
            kept.pop()
        kept.append(entry)
    return kept[-LENGTH:]


def _carried_out(done: Sequence[Action], previous: BudgetedTrainingJobStatus, time: str) -> Iterator[DecisionStatus]:
    for action in done:
        name = NAMES.get(type(action))
        asked = previous.request is not None and getattr(action, "attempt", None) == previous.request.attempt
        if name is None or (name == "RequestStop" and asked):
            continue
        yield _entry(name, action.because, time)


def _answers(request: RequestStatus | None, previous: BudgetedTrainingJobStatus, time: str) -> Iterator[DecisionStatus]:
    """A checkpoint that became durable for a request, or that failed, as far as it is news."""
    before = previous.request
    if request is None or before is None or before.id != request.id:
        return
    if request.acknowledged_step is not None and before.acknowledged_step is None:
        numbers = {"step": str(request.acknowledged_step), "digest": request.digest or ""}
        message = f"{request.attempt}: the checkpoint of step {request.acknowledged_step} is durable"
        yield _entry("Acknowledge", Because(Reason.CHECKPOINT_DURABLE, message, numbers), time)
    elif request.failures > before.failures:
        message = f"{request.attempt}: the request to stop was not answered, or its checkpoint failed"
        yield _entry("Acknowledge", Because(Reason.CHECKPOINT_FAILED, message, {"failures": str(request.failures)}), time)


def _recovered(
    done: Sequence[Action], attempts: Sequence[Attempt], previous: BudgetedTrainingJobStatus
) -> Iterator[DecisionStatus]:
    """Starts and settlements that stand in the records and were never written down: the writer died in between."""
    now_done = {(type(action), getattr(action, "attempt", None)) for action in done}
    known = {each.name: each.phase for each in previous.attempts}
    for attempt in attempts[-5:]:
        record = attempt.record
        because = because_of(record)
        if attempt.name not in known and (OpenAttempt, attempt.name) not in now_done and because is not None:
            yield _entry("Start", because, record.spec.opened_at)
        settled_now = (SettleAttempt, attempt.name) in now_done
        if not attempt.open and known.get(attempt.name) != "Settled" and not settled_now:
            message = f"{attempt.name} ended ({record.status.outcome}): {record.status.message}"[:1024]
            yield _entry("Settle", Because(Reason.SETTLED, message), record.status.settled_at or record.spec.opened_at)


def _entry(action: str, because: Because, time: str) -> DecisionStatus:
    return DecisionStatus(
        time=time,
        action=action,
        reason=because.reason,
        message=because.message[:4096],
        numbers=dict(list(because.numbers.items())[:MAX_NUMBERS]),
    )


def _repeats(entry: DecisionStatus, log: Sequence[DecisionStatus]) -> bool:
    """Waiting goes on: only the newest entry can be repeated, and only Wait is not worth saying twice."""
    return entry.action == "Wait" and bool(log) and _alike(log[-1], entry)


def _alike(left: DecisionStatus, right: DecisionStatus) -> bool:
    same = (left.action, left.reason) == (right.action, right.reason)
    return same and same_meaning(left.message, right.message)
