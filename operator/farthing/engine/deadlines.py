"""The ends of a running attempt, as they stand now: where the Job's deadline belongs, and what the trainer is told.

Everything counts from the first bind. A dearer price makes the hard end in force come sooner (`ledger.quotes`); all ends inside
it then move by as much. Ends only ever come nearer.
"""

from datetime import datetime, timedelta
from math import floor

from farthing.api.spend import Quote, SpendRecord
from farthing.contract.handshake import LeaseUpdate
from farthing.contract.names import request_id
from farthing.contract.runconfig import End
from farthing.domain.snapshot import Attempt
from farthing.engine.opening import run_config_of
from farthing.ledger.quotes import hard_end_second
from farthing.units import format_time, parse_time

NOW = 1
"""The smallest activeDeadlineSeconds there is: it has passed."""


def cut(record: SpendRecord, bound: datetime) -> int:
    """Seconds by which dearer prices bring the ends forward."""
    return record.spec.ends.hard - hard_end_second(record, bound)


def with_quote(record: SpendRecord, quote: Quote) -> SpendRecord:
    """The record as it will be with one more quote."""
    status = record.status.model_copy(update={"quotes": [*record.status.quotes, quote]})
    return record.model_copy(update={"status": status})


def job_deadline(attempt: Attempt, record: SpendRecord) -> int | None:
    """Where the Job's activeDeadlineSeconds belongs, counted from its start; None while nothing is bound."""
    bound, job = attempt.first_bound_at, attempt.job
    if bound is None or job is None or job.started_at is None:
        return None
    end = bound + timedelta(seconds=record.spec.ends.job - cut(record, bound))
    return max(NOW, floor((end - job.started_at).total_seconds()))


def lowers(attempt: Attempt, seconds: int | None) -> bool:
    """Whether that deadline is lower than the Job's present one, and the Job still lives."""
    job = attempt.job
    if seconds is None or job is None or job.complete or job.failed or job.deleting:
        return False
    return job.active_deadline_seconds is None or seconds < job.active_deadline_seconds


def lease_update(attempt: Attempt, record: SpendRecord) -> LeaseUpdate | None:
    """The trainer's ends after the cut; None where its run config is not known or nothing is bound."""
    bound, config = attempt.first_bound_at, run_config_of(record)
    if bound is None or config is None:
        return None
    latest = bound + timedelta(seconds=record.spec.ends.trainer - cut(record, bound))
    return LeaseUpdate(
        id=request_id(attempt.name, "Lease", hard_end_second(record, bound)),
        trainer_end=_not_later(config.lease.trainer_end, latest),
        budget_end=_not_later(config.lease.budget_end, latest),
    )


def _not_later(end: End, latest: datetime) -> End:
    """The end with its absolute time brought forward; one without a clock stays without."""
    if end.not_after is None:
        return end
    return end.model_copy(update={"not_after": format_time(min(latest, parse_time(end.not_after)))})
