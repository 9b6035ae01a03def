"""The CEL rules at the root of a BudgetedTrainingJob: those that compare old with new, or look at the object's name.

A rule below `status` would be skipped when the status is removed, so they stand here. Rules that mention `oldSelf` are
transition rules: the API server skips them on create.
"""

from typing import Final

from pydantic import JsonValue

from farthing.api.amounts import floor_rules
from farthing.api.base import rule

_NOT_STARTED: Final = "!has(oldSelf.status) || !has(oldSelf.status.startTime)"


def _same(field: str) -> str:
    """CEL: the optional field is as it was, absent included."""
    return f"(has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field}))"


JOB_RULES: Final[list[JsonValue]] = [
    rule(
        "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must be at most 40 characters of a-z, 0-9 and '-', starting with a letter: it names pods",
    ),
    rule(
        f"{_NOT_STARTED} || (self.spec.model == oldSelf.spec.model && self.spec.data == oldSelf.spec.data)",
        "spec.model and spec.data (seed and sequenceLength too) cannot change once the job has started:"
        " create a job of another name",
    ),
    rule(
        f"{_NOT_STARTED} || ({_same('spec.budget.currency')} && {_same('spec.budget.accountRef')})",
        "spec.budget.currency and spec.budget.accountRef cannot change once the job has started: its bills are kept in them",
    ),
    rule(_same("spec.managedBy"), "spec.managedBy cannot change: create a job of another name"),
    *floor_rules("spec.budget.limits"),
]
