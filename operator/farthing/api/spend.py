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
    """Name of the job."""
    uid: Annotated[str, Field(min_length=1, max_length=64)]
    """The job's UID."""


class Quote(ApiModel):
    """A price fixed from `from` on. None in `perAcceleratorHour` where the budget counts no money and no price is known."""

    from_time: Timestamp = Field(alias="from")
    """When it begins to apply."""
    per_accelerator_hour: Money | None = None
    """What one accelerator costs for one hour."""
    currency: Currency | None = None
    """ISO 4217 code."""
    source: ShortText = ""
    """Who says so."""


MAX_SECONDS = 2**31 - 1
"""As in a pod's activeDeadlineSeconds."""


class NestedEndsSpec(ApiModel):
    """The attempt's ends in whole seconds from the first pod bound (DESIGN 4): trainer < supervisor < pod ≤ job < hard."""

    trainer: Annotated[int, Field(ge=0, le=MAX_SECONDS)]
    """The trainer leaves by itself."""
    supervisor: Annotated[int, Field(ge=0, le=MAX_SECONDS)]
    """The supervisor kills what is left."""
    pod: Annotated[int, Field(ge=0, le=MAX_SECONDS)]
    """The pod's activeDeadlineSeconds."""
    job: Annotated[int, Field(ge=0, le=MAX_SECONDS)]
    """The Job's deadline, start-up excluded."""
    hard: Annotated[int, Field(ge=0, le=MAX_SECONDS)]
    """What the hold pays for."""
    grace: Annotated[int, Field(ge=1, le=MAX_SECONDS)]
    """The termination grace period of the pods."""
    startup_timeout: Annotated[int, Field(ge=1, le=MAX_SECONDS)]
    """Not all pods ready by then: the attempt ends."""


class SpendRecordSpec(ApiModel):
    """What was held, at what quote, with which ends. Written once, before any pod exists."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self == oldSelf", "spec: a SpendRecord's spec cannot change; a further attempt gets a record of its own")
        )
    )
    job: RecordOwner
    """The job that spends."""
    attempt: Name
    """Name of the attempt, and of this record."""
    number: Annotated[int, Field(ge=0, le=2**31 - 1)]
    """Rises by one with each attempt of the job."""
    stage: Literal["Prepare", "Train"]
    """What the attempt does."""
    account: Name | None = None
    """The TrainingBudget that pays, where there is one."""
    pool: Name
    """Name of the pool."""
    accelerator: Annotated[str, Field(max_length=64)]
    """The pool's accelerator."""
    pods: Annotated[int, Field(ge=1, le=65_536)]
    """Pods of the gang."""
    accelerators_per_pod: Annotated[int, Field(ge=1, le=1024)]
    """Accelerators of each pod."""
    quote: Quote
    """The price at the start."""
    held: Amounts
    """What was set aside."""
    ends: NestedEndsSpec
    """The attempt's nested ends."""
    opened_at: Timestamp
    """When the record was written: before any pod existed."""
    peak_flops_per_second: BigNumber | None = None
    """Of one accelerator: bounds the FLOPs of an attempt that left no last word."""
    flops_lease: BigNumber | None = None
    """FLOPs that the attempt may execute."""
    memory_step: Annotated[int, Field(ge=0)] = 0
    """How often the planner had stepped down for memory when this attempt was planned."""


class Interval(StatusModel):
    """A piece of held time at one quote. `estimated`: an upper bound, since the evidence was incomplete."""

    from_time: Timestamp = Field(alias="from")
    """Begin."""
    to: Timestamp
    """End."""
    seconds: Annotated[int, Field(ge=0)]
    """Whole seconds between them."""
    per_accelerator_hour: Money | None = None
    """The quote."""
    cost: Money
    """Seconds × accelerators × quote."""
    estimated: bool = False
    """Whether this is an upper bound."""


class WasteStatus(StatusModel):
    """Held seconds of the gang that trained nothing that survived, by cause (accelerator-seconds ÷ accelerators)."""

    startup: str = "0"
    """Before the first step."""
    checkpoint: str = "0"
    """Writing checkpoints."""
    replay: str = "0"
    """Steps trained a second time."""
    evaluation: str = "0"
    """Validation."""
    idle: str = "0"
    """Held, and nothing of these."""


class SpendRecordStatus(StatusModel):
    """Append-only: quotes while it runs, intervals and charges once it is settled."""

    phase: Literal["Open", "Settled"] = "Open"
    """Open until the bill is settled."""
    quotes: Annotated[list[Quote], Field(max_length=256)] = Field(default_factory=list)
    """Later prices, each from the boundary that the operator wrote when it saw it; before the reserve only."""
    intervals: Annotated[list[Interval], Field(max_length=257)] = Field(default_factory=list)
    """Held time, by quote."""
    charged: Amounts | None = None
    """The bill."""
    outcome: ShortText | None = None
    """One of `farthing.domain.outcome.Outcome`."""
    message: LongText = ""
    """How it ended, in a sentence."""
    exit_code: int | None = None
    """Of rank 0."""
    first_step: int | None = None
    """First step it trained."""
    last_step: int | None = None
    """Last step it trained."""
    resumed_from: int | None = None
    """The checkpoint it started from."""
    lost_steps: int = 0
    """Steps that no checkpoint holds."""
    tokens_processed: str = "0"
    """Tokens executed, replay included."""
    lineage_tokens: str | None = None
    """Tokens of the surviving lineage when the attempt ended."""
    flops: str = "0"
    """FLOPs executed, recomputation included."""
    estimated: bool = False
    """Whether any part of the bill is an upper bound."""
    waste: WasteStatus | None = None
    """Held seconds that trained nothing, by cause."""
    started_at: Timestamp | None = None
    """First pod bound."""
    ready_at: Timestamp | None = None
    """First training step, or first progress of the prepare stage."""
    ended_at: Timestamp | None = None
    """Last container finished."""
    settled_at: Timestamp | None = None
    """When the bill was closed."""
    peak_memory: str | None = None
    """The largest worker's peak."""
    tokens_per_second: str | None = None
    """Measured speed of the whole gang."""
    validation_loss: str | None = None
    """The last one measured."""
    checkpoint_seconds: str | None = None
    """Measured time to write a checkpoint."""
    prepared_tokens: int | None = None
    """Prepare stage: unique training tokens found."""
    prepared_digest: Annotated[str, Field(max_length=128)] | None = None
    """Prepare stage: names its product."""


class SpendRecord(ApiModel):
    """The bill of one attempt."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra=rules(
            rule(
                "self.metadata.name == self.spec.attempt",
                "metadata.name must be spec.attempt: a bill is found by its attempt's name",
            ),
            rule(
                "!has(oldSelf.status) || !has(oldSelf.status.phase) || oldSelf.status.phase != 'Settled'"
                " || (has(self.status) && self.status == oldSelf.status)",
                "status: a settled SpendRecord cannot change; leave it as it is",
            ),
            rule(
                "!has(oldSelf.status) || !has(oldSelf.status.quotes) || (has(self.status) && has(self.status.quotes)"
                " && size(self.status.quotes) >= size(oldSelf.status.quotes)"
                " && oldSelf.status.quotes.all(i, e, self.status.quotes[i] == e))",
                "status.quotes is append-only: keep the entries that stand, and add new ones at the end",
            ),
        ),
    )
    api_version: Literal["farthing.dev/v1alpha1"] = "farthing.dev/v1alpha1"
    kind: Literal["SpendRecord"] = "SpendRecord"
    metadata: ObjectMeta
    spec: SpendRecordSpec
    status: SpendRecordStatus = SpendRecordStatus()
