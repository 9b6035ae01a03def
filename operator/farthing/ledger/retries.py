"""Retries: which ends count against `backoffLimit`, and when the next attempt may start."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from farthing.api.spend import SpendRecord
from farthing.contract.exit_codes import ExitCode
from farthing.domain.outcome import Outcome
from farthing.units import format_duration, parse_time

FIRST_DELAY: Final = timedelta(seconds=10)
LONGEST_DELAY: Final = timedelta(seconds=360)
"""batch/v1 Jobs wait 10 s, 20 s, 40 s … after a failure, at most six minutes
(kubernetes.io/docs/concepts/workloads/controllers/job, "Pod backoff failure policy")."""


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """Whether a further attempt is allowed, from when on (None: at once), and why in a sentence."""

    allowed: bool
    not_before: datetime | None
    failures: int
    reason: str


def charged_failures(records: Iterable[SpendRecord]) -> int:
    """How many attempts count against spec.backoffLimit."""
    return sum(1 for record in _settled(records) if is_charged(record))


def is_charged(record: SpendRecord) -> bool:
    """Whether this attempt's end counts against spec.backoffLimit.

    A disruption counts only as 75 (a peer or the storage was lost): without a limit, storage that is gone for good would be
    tried for ever. Drain, preemption, a lost node, 143 and a step down for memory never count (DESIGN 5).
    """
    outcome = Outcome(record.status.outcome) if record.status.outcome else None
    if outcome is Outcome.DISRUPTED:
        return record.status.exit_code == ExitCode.TRY_AGAIN
    return outcome is not None and outcome.charges_backoff


def memory_steps(records: Iterable[SpendRecord]) -> int:
    """How often the planner has to step down: once for each attempt that ran out of memory."""
    return sum(1 for record in _settled(records) if record.status.outcome == Outcome.OUT_OF_MEMORY)


def retry(records: Iterable[SpendRecord], backoff_limit: int) -> RetryDecision:
    """Whether and when to try again, from all settled records of the job. The delay doubles with every failure in a row."""
    settled = _settled(records)
    failures = charged_failures(settled)
    if settled and settled[-1].status.outcome == Outcome.BAD_CONFIG:
        return RetryDecision(False, None, failures, f"bad config, never retried: {settled[-1].status.message}")
    if failures > backoff_limit:
        return RetryDecision(False, None, failures, f"{failures} failed attempts exceed backoffLimit {backoff_limit}")
    row = _failures_in_a_row(settled)
    if not row:
        return RetryDecision(True, None, failures, "no failure stands before it")
    delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (row - 1))
    ended = settled[-1].status.ended_at or settled[-1].status.settled_at or settled[-1].spec.opened_at
    why = f"waits {format_duration(delay.total_seconds())} after failure {failures} of at most {backoff_limit}"
    return RetryDecision(True, parse_time(ended) + delay, failures, why)


def _settled(records: Iterable[SpendRecord]) -> list[SpendRecord]:
    """Settled records, oldest first."""
    return sorted((record for record in records if record.status.phase == "Settled"), key=lambda record: record.spec.number)


def _failures_in_a_row(settled: list[SpendRecord]) -> int:
    """Charged failures at the end of the list; the exponent stays small where backoffLimit is large."""
    row = 0
    for record in reversed(settled):
        if not is_charged(record) or row == 10:
            break
        row += 1
    return row
