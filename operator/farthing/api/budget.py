"""TrainingBudget (tb): a team's account. Jobs draw on it by holds; raising it is a right of its own."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from farthing.api.amounts import Amounts, Limits
from farthing.api.base import ApiModel, Currency, Duration, Name, ObjectMeta, ShortText, StatusModel, Timestamp, rule, rules
from farthing.api.conditions import Condition


class WindowSpec(ApiModel):
    """The limits count anew every `period`, from `start` (absent: the account's creation)."""

    period: Duration
    start: Timestamp | None = None


class TrainingBudgetSpec(ApiModel):
    """What a team may spend, in all or a window."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("!has(self.limits.cost) || has(self.currency)", "a cost limit needs spec.currency, for example USD"),
        )
    )
    limits: Limits
    currency: Currency | None = None
    window: WindowSpec | None = None
    carry_over: bool = False
    """What a window leaves over is added to the next one."""


class AccountHold(StatusModel):
    """Amounts set aside for one attempt until its bill is settled."""

    attempt: Name
    job: Name
    job_uid: Annotated[str, Field(max_length=64)]
    amounts: Amounts


class WindowStatus(StatusModel):
    """The window now open, the closing balance it began with, and what was carried over into it."""

    start: Timestamp
    end: Timestamp
    settled_at_start: Amounts = Amounts()
    carried: Amounts = Amounts()


class TrainingBudgetStatus(StatusModel):
    """`settled` only ever rises; `spent` = settled − what was settled when the window opened."""

    observed_generation: int | None = Field(default=None, ge=0)
    holds: Annotated[list[AccountHold], Field(max_length=1024)] = Field(default_factory=list)
    settled: Amounts = Amounts()
    settled_attempts: Annotated[list[Name], Field(max_length=1024)] = Field(default_factory=list)
    """Attempts newest last whose bill is in `settled`: settling twice changes nothing."""
    spent: Amounts = Amounts()
    window: WindowStatus | None = None
    spent_text: ShortText | None = None
    limit_text: ShortText | None = None
    conditions: Annotated[list[Condition], Field(max_length=16)] = Field(default_factory=list)


class TrainingBudget(ApiModel):
    """A team's account."""

    model_config = ConfigDict(extra="ignore")
    api_version: Literal["farthing.dev/v1alpha1"] = "farthing.dev/v1alpha1"
    kind: Literal["TrainingBudget"] = "TrainingBudget"
    metadata: ObjectMeta
    spec: TrainingBudgetSpec
    status: TrainingBudgetStatus = TrainingBudgetStatus()
