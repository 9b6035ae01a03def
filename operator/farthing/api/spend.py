"""SpendRecord (sr): the bill of one attempt. Not owned by the job: it outlives it."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from farthing.api.amounts import Amounts
from farthing.api.base import (
    ApiModel,
    BigNumber,
    Currency,
    LongText,
    Money,
    Name,
    ObjectMeta,
    ShortText,
    StatusModel,
    Timestamp,
    rule,
    rules,
)


class RecordOwner(ApiModel):
    """The job that spent, by UID: a job re-created under the same name is another one."""

    name: Name
    uid: Annotated[str, Field(min_length=1, max_length=64)]


class Quote(ApiModel):
    """A price fixed from `from` on. None in `perAcceleratorHour` where the budget counts no money and no price is known."""

    from_time: Timestamp = Field(alias="from")
    per_accelerator_hour: Money | None = None
    currency: Currency | None = None
    source: ShortText = ""


class NestedEndsSpec(ApiModel):
    """The attempt's ends in whole seconds from the first pod bound (DESIGN 4): trainer < supervisor < pod ≤ job < hard."""

    trainer: Annotated[int, Field(ge=0)]
    supervisor: Annotated[int, Field(ge=0)]
    pod: Annotated[int, Field(ge=0)]
    job: Annotated[int, Field(ge=0)]
    hard: Annotated[int, Field(ge=0)]
    grace: Annotated[int, Field(ge=1)]
    startup_timeout: Annotated[int, Field(ge=1)]


class SpendRecordSpec(ApiModel):
    """What was held, at what quote, with which ends. Written once, before any pod exists."""

    model_config = ConfigDict(json_schema_extra=rules(rule("self == oldSelf", "the spec of a SpendRecord cannot change")))
    job: RecordOwner
    attempt: Name
    number: Annotated[int, Field(ge=0)]
    stage: Literal["Prepare", "Train"]
    account: Name | None = None
    pool: Name
    accelerator: Annotated[str, Field(max_length=64)]
    pods: Annotated[int, Field(ge=1)]
    accelerators_per_pod: Annotated[int, Field(ge=1)]
    quote: Quote
    held: Amounts
    ends: NestedEndsSpec
    opened_at: Timestamp
    peak_flops_per_second: BigNumber | None = None
    """Of one accelerator: bounds the FLOPs of an attempt that left no last word."""
    flops_lease: BigNumber | None = None
    memory_step: Annotated[int, Field(ge=0)] = 0
    """How often the planner had stepped down for memory when this attempt was planned."""


class Interval(StatusModel):
    """A piece of held time at one quote. `estimated`: an upper bound, since the evidence was incomplete."""

    from_time: Timestamp = Field(alias="from")
    to: Timestamp
    seconds: Annotated[int, Field(ge=0)]
    per_accelerator_hour: Money | None = None
    cost: Money
    estimated: bool = False


class WasteStatus(StatusModel):
    """Held seconds of the gang that trained nothing that survived, by cause (accelerator-seconds ÷ accelerators)."""

    startup: str = "0"
    checkpoint: str = "0"
    replay: str = "0"
    evaluation: str = "0"
    idle: str = "0"


class SpendRecordStatus(StatusModel):
    """Append-only: quotes while it runs, intervals and charges once it is settled."""

    phase: Literal["Open", "Settled"] = "Open"
    quotes: Annotated[list[Quote], Field(max_length=256)] = Field(default_factory=list)
    """Later prices, each from the boundary that the operator wrote when it saw it; before the reserve only."""
    intervals: Annotated[list[Interval], Field(max_length=257)] = Field(default_factory=list)
    charged: Amounts | None = None
    outcome: ShortText | None = None
    """One of `farthing.domain.outcome.Outcome`."""
    message: LongText = ""
    exit_code: int | None = None
    first_step: int | None = None
    last_step: int | None = None
    resumed_from: int | None = None
    lost_steps: int = 0
    tokens_processed: str = "0"
    lineage_tokens: str | None = None
    """Tokens of the surviving lineage when the attempt ended."""
    flops: str = "0"
    estimated: bool = False
    waste: WasteStatus | None = None
    started_at: Timestamp | None = None
    """First pod bound."""
    ready_at: Timestamp | None = None
    """First training step, or first progress of the prepare stage."""
    ended_at: Timestamp | None = None
    settled_at: Timestamp | None = None
    peak_memory: str | None = None
    tokens_per_second: str | None = None
    validation_loss: str | None = None
    checkpoint_seconds: str | None = None


class SpendRecord(ApiModel):
    """The bill of one attempt."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra=rules(
            rule(
                "!has(oldSelf.status) || !has(oldSelf.status.phase) || oldSelf.status.phase != 'Settled'"
                " || (has(self.status) && self.status == oldSelf.status)",
                "a settled SpendRecord cannot change",
            ),
            rule(
                "!has(oldSelf.status) || !has(oldSelf.status.quotes) || (has(self.status) && has(self.status.quotes)"
                " && size(self.status.quotes) >= size(oldSelf.status.quotes)"
                " && oldSelf.status.quotes.all(i, e, self.status.quotes[i] == e))",
                "status.quotes is append-only",
            ),
        ),
    )
    api_version: Literal["farthing.dev/v1alpha1"] = "farthing.dev/v1alpha1"
    kind: Literal["SpendRecord"] = "SpendRecord"
    metadata: ObjectMeta
    spec: SpendRecordSpec
    status: SpendRecordStatus = SpendRecordStatus()
