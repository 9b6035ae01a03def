"""The holds of a job that draws on no account: they stand in its own status; what it spent is the fold of its records."""

from collections.abc import Iterable

from farthing.api.amounts import amounts
from farthing.api.job import BudgetedTrainingJob
from farthing.api.job_status import BudgetedTrainingJobStatus, HoldStatus
from farthing.api.spend import SpendRecord
from farthing.ledger import holds
from farthing.ledger.arithmetic import Amounts
from farthing.ledger.balance import balance


def with_hold(
    job: BudgetedTrainingJob, attempt: str, wanted: Amounts, records: Iterable[SpendRecord] = ()
) -> BudgetedTrainingJobStatus:
    """The job's status with `wanted` (by axis) set aside for the attempt; unchanged where it is already.

    `records` are all spend records of the job's UID. Raises InsufficientBudget where it does not fit limits − spent − held.
    """
    if holds.find(job.status.holds, attempt) is not None:
        return job.status
    books = balance(job.spec.budget.limits.as_decimals(), records, job.status.holds)
    holds.require_room(attempt, wanted, books.remaining, f"job {job.metadata.name}")
    hold = HoldStatus(attempt=attempt, amounts=amounts(wanted))
    return job.status.model_copy(update={"holds": [*job.status.holds, hold]})


def with_settlement(status: BudgetedTrainingJobStatus, attempt: str, charged: Amounts) -> BudgetedTrainingJobStatus:
    """The status without the attempt's hold: until its record is closed, the open record keeps the amounts set aside.

    Raises LedgerError where the charge exceeds the hold.
    """
    holds.require_covered(attempt, charged, holds.find(status.holds, attempt))
    return without_hold(status, attempt)


def without_hold(status: BudgetedTrainingJobStatus, attempt: str) -> BudgetedTrainingJobStatus:
    """The status without the attempt's hold; the same object where it has none."""
    if holds.find(status.holds, attempt) is None:
        return status
    return status.model_copy(update={"holds": holds.without(status.holds, attempt)})
