"""A run that landed goes on where its budget was raised since: from the trunk, the checkpoint just before the landing.

The axis that was used up the most when it landed is the one that has to be raised, and by more than a landing takes: with less
the model would be trained less than it is already.
"""

from collections.abc import Sequence
from decimal import Decimal

from farthing.api import SpendRecord
from farthing.api.job import BudgetSpec
from farthing.domain.outcome import Outcome
from farthing.domain.snapshot import JobView
from farthing.engine.opening import budget_of, run_config_of
from farthing.ledger.balance import Balance
from farthing.units import parse_amount, parse_time

ZERO = Decimal(0)


def landed(records: Sequence[SpendRecord]) -> SpendRecord | None:
    """The newest attempt that landed."""
    return next((each for each in reversed(records) if each.status.outcome == Outcome.LANDED), None)


def raised_since(record: SpendRecord, view: JobView, books: Balance) -> bool:
    """Whether what ended this run was raised by enough since to train on."""
    before, now = budget_of(record), view.job.spec.budget
    if before is None:
        return False
    old, new = before.limits.as_decimals(), now.limits.as_decimals()
    landing = parse_amount(view.job.spec.training.landing_fraction)
    used = {axis: books.spent.get(axis, ZERO) / limit for axis, limit in old.items()}
    binding = max(used, key=lambda axis: (used[axis], axis), default=None)
    if binding is None or _time_used(before, record, view) > used[binding]:
        return _more_time(before, now, landing, view)
    if binding not in new:
        return True
    return new[binding] > old[binding] and new[binding] - books.spent.get(binding, ZERO) >= landing * old[binding]


def from_trunk(records: Sequence[SpendRecord]) -> bool:
    """Whether the next attempt has to go back behind a landing: no checkpoint was made since."""
    last = landed(records)
    return last is not None and not any(_made_a_checkpoint(each) for each in records if each.spec.number > last.spec.number)


def _made_a_checkpoint(record: SpendRecord) -> bool:
    config, status = run_config_of(record), record.status
    if config is None or status.lineage_tokens is None:
        return False
    return parse_amount(status.lineage_tokens) > (status.resumed_from or 0) * config.tokens_per_step


def _time_used(before: BudgetSpec, record: SpendRecord, view: JobView) -> Decimal:
    """The share of the time to the deadline that had passed when the run landed; 0 without a deadline."""
    if before.deadline is None or record.status.ended_at is None:
        return ZERO
    span, passed = (_seconds(_created(view, record), each) for each in (before.deadline, record.status.ended_at))
    return passed / span if span > 0 else ZERO


def _more_time(before: BudgetSpec, now: BudgetSpec, landing: Decimal, view: JobView) -> bool:
    if now.deadline is None or before.deadline is None:
        return now.deadline != before.deadline
    span = _seconds(view.job.metadata.creation_timestamp or before.deadline, before.deadline)
    return _seconds(before.deadline, now.deadline) >= landing * span and parse_time(now.deadline) > parse_time(before.deadline)


def _created(view: JobView, record: SpendRecord) -> str:
    return view.job.metadata.creation_timestamp or record.spec.opened_at


def _seconds(begin: str, end: str) -> Decimal:
    return Decimal(str((parse_time(end) - parse_time(begin)).total_seconds()))
