"""TrainingBudget (tb): a team's account. Jobs draw on it by holds; raising it is a right of its own."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from farthing.api.amounts import Amounts, Limits, floor_rules
from farthing.api.base import ApiModel, Currency, Duration, Name, ObjectMeta, ShortText, StatusModel, Timestamp, rule, rules
from farthing.api.conditions import Condition


class WindowSpec(ApiModel):
    """The limits count anew every `period`, from `start` (absent: the account's creation)."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.start) || self.start < timestamp('2200-01-01T00:00:00Z')",
                "window.start must lie before the year 2200",
            )
        )
    )
    period: Duration
    """Length of a window, for example 7d."""
    start: Timestamp | None = None
    """When the first window began."""


class TrainingBudgetSpec(ApiModel):
    """What a team may spend, in all or a window."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("!has(self.limits.cost) || has(self.currency)", "a cost limit needs spec.currency, for example USD"),
        )
    )
    limits: Limits
    """What may be spent, on any mix of axes. Raising one, or removing one, needs the verb `raise` on trainingbudgets."""
    currency: Currency | None = None
    """ISO 4217 code of `limits.cost`."""
    window: WindowSpec | None = None
    """Absent: the limits hold for the account's whole life."""
    carry_over: bool = False
    """What a window leaves over is added to the next one."""


class AccountHold(StatusModel):
    """Amounts set aside for one attempt until its bill is settled."""

    attempt: Name
    """Name of the attempt."""
    job: Name
    """Name of its job."""
    job_uid: Annotated[str, Field(max_length=64)]
    """The job's UID."""
    amounts: Amounts
    """What is set aside."""


class WindowStatus(StatusModel):
    """The window now open, the closing balance it began with, and what was carried over into it."""

    start: Timestamp
    """When it began."""
    end: Timestamp
    """When it ends."""
    settled_at_start: Amounts = Amounts()
    """The closing balance it began with."""
    carried: Amounts = Amounts()
    """What the last window left over."""


class TrainingBudgetStatus(StatusModel):
    """`settled` only ever rises; `spent` = settled − what was settled when the window opened."""

    observed_generation: int | None = Field(default=None, ge=0)
    """The generation of the spec that this status is about."""
    holds: Annotated[list[AccountHold], Field(max_length=1024)] = Field(default_factory=list)
    """What is set aside for attempts that run."""
    settled: Amounts = Amounts()
    """All bills ever settled; only ever rises."""
    settled_attempts: Annotated[list[Name], Field(max_length=1024)] = Field(default_factory=list)
    """Attempts newest last whose bill is in `settled`: settling twice changes nothing."""
    spent: Amounts = Amounts()
    """What the window now open has spent."""
    window: WindowStatus | None = None
    """The window now open."""
    spent_text: ShortText | None = None
    """For the printer column."""
    limit_text: ShortText | None = None
    """For the printer column."""
    conditions: Annotated[list[Condition], Field(max_length=16)] = Field(default_factory=list)
    """What is observed, by type."""


class TrainingBudget(ApiModel):
    """A team's account."""

    model_config = ConfigDict(extra="ignore", json_schema_extra=rules(*floor_rules("spec.limits")))
    api_version: Literal["farthing.dev/v1alpha1"] = "farthing.dev/v1alpha1"
    kind: Literal["TrainingBudget"] = "TrainingBudget"
    metadata: ObjectMeta
    spec: TrainingBudgetSpec
    status: TrainingBudgetStatus = TrainingBudgetStatus()
