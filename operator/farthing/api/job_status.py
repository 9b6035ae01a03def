"""What Farthing observed and decided about a job: `BudgetedTrainingJob.status`. Written by the operator alone."""

from typing import Annotated, Literal

from pydantic import Field

from farthing.api.amounts import Amounts
from farthing.api.base import LongText, Money, Name, ShortText, StatusModel, Timestamp
from farthing.api.conditions import Condition


class Estimate(StatusModel):
    """A predicted number with its 80 % interval, beside what was measured."""

    value: str
    """The prediction."""
    low: str | None = None
    """10th percentile."""
    high: str | None = None
    """90th percentile."""
    measured: str | None = None
    """What it came to."""
    unit: ShortText = ""
    """Unit of all four."""
    source: Annotated[str, Field(max_length=512)] = ""
    """Where the prediction comes from."""


class AllocationStatus(StatusModel):
    """Where the job runs: `pods` × `acceleratorsPerPod` on `pool`."""

    pool: Name
    """Name of the pool."""
    accelerator: Name
    """The pool's accelerator."""
    pods: int
    """Pods of the gang."""
    accelerators_per_pod: int
    """Accelerators of each pod."""


class RejectedPlan(StatusModel):
    """A family of plans that was not chosen, the constraint that killed it, and by how much."""

    plan: Annotated[str, Field(max_length=256)]
    """The family of plans."""
    constraint: Annotated[str, Field(max_length=512)]
    """What killed it, and by how much."""


class PlanStatus(StatusModel):
    """The chosen plan with its predictions."""

    allocation: AllocationStatus
    """Where it runs."""
    precision: ShortText
    """The dtype of the matrix products."""
    sharding: ShortText
    """How states are shared out."""
    grouping: ShortText
    """What is gathered at once."""
    activation_checkpointing: ShortText
    """What is computed again in the backward pass."""
    micro_batch_size: int
    """Sequences that one worker takes at once."""
    accumulation: int
    """Micro-batches of each worker in a step."""
    global_batch_size: int
    """Sequences in a step."""
    memory_request: Annotated[str, Field(max_length=24)]
    """Each pod's memory request and limit."""
    memory_step: int = 0
    """How often the planner stepped down after a worker was killed for memory."""
    predictions: Annotated[dict[str, Estimate], Field(max_length=32)] = Field(default_factory=dict)
    """By name: memory, tokensPerSecond, stepSeconds, startupSeconds, cost, tokens, loss, seconds."""
    memory_terms: Annotated[dict[str, str], Field(max_length=32)] = Field(default_factory=dict)
    """Bytes by named term of the phase with the peak."""
    rejected: Annotated[list[RejectedPlan], Field(max_length=16)] = Field(default_factory=list)
    """Families of plans that were not chosen."""


class AttemptStatus(StatusModel):
    """One attempt, as its spend record tells it."""

    name: Name
    """Name of the attempt's spend record and children."""
    number: int
    """Rises by one with each attempt of the job."""
    stage: ShortText
    """Prepare or Train."""
    phase: ShortText
    """The spend record's phase."""
    start_time: Timestamp | None = None
    """First pod bound."""
    end_time: Timestamp | None = None
    """Last container finished."""
    outcome: ShortText | None = None
    """How it ended."""
    first_step: int | None = None
    """First step it trained."""
    last_step: int | None = None
    """Last step it trained."""
    cost: Money | None = None
    """What it cost."""


class HoldStatus(StatusModel):
    """Budget set aside for an attempt of a job that draws on no account."""

    attempt: Name
    """Name of the attempt."""
    amounts: Amounts
    """What is set aside."""


class RequestStatus(StatusModel):
    """The checkpoint request under way: written before it is sent."""

    id: Annotated[str, Field(max_length=64)]
    """Names the request; the same cause asks with the same id."""
    attempt: Name
    """The attempt that was asked."""
    reason: ShortText
    """Why."""
    then: Literal["Stop", "Continue"]
    """What the trainer does once the checkpoint is durable."""
    requested_at: Timestamp
    """When the request was written down."""
    deadline: Timestamp
    """Past it the Job's deadline is lowered to now."""
    failures: int = 0
    """Failed tries to reach the trainer."""
    acknowledged_step: int | None = None
    """The step that was made durable."""
    digest: Annotated[str, Field(max_length=128)] | None = None
    """Digest of the checkpoint's manifest."""


class ProgressStatus(StatusModel):
    """How far the run is; written at most every 15 seconds."""

    phase: ShortText = ""
    """The trainer's phase."""
    step: int = 0
    """The newest step."""
    last_step: int | None = None
    """The step at which the run ends, once that is known."""
    tokens: str = "0"
    """Tokens along the surviving lineage."""
    loss: str | None = None
    """Training loss."""
    validation_loss: str | None = None
    """The newest validation loss."""
    bits_per_byte: str | None = None
    """The same per byte of text."""
    tokens_per_second: str | None = None
    """Speed of the whole gang."""
    memory: str | None = None
    """The largest worker's memory."""
    eta: str | None = None
    """Time left."""
    time: Timestamp | None = None
    """When this was reported."""


class CheckpointStatus(StatusModel):
    """The newest durable checkpoint."""

    step: int
    """The step it holds."""
    tokens: str
    """Tokens trained on by then."""
    uri: Annotated[str, Field(max_length=1024)]
    """Where it is."""
    digest: Annotated[str, Field(max_length=128)]
    """Digest of its manifest."""
    time: Timestamp
    """When it became durable."""
    seconds: str | None = None
    """How long it took to write."""


class PreparedStatus(StatusModel):
    """The product of the prepare stage."""

    digest: Annotated[str, Field(max_length=128)]
    """Names the product by its content."""
    tokens: int
    """Unique training tokens found."""
    attempt: Name
    """The attempt that made it."""


class DecisionStatus(StatusModel):
    """One decision: what was done, why, and the numbers. `farthing why` prints these."""

    time: Timestamp
    """When."""
    action: ShortText
    """What was done."""
    reason: ShortText
    """One CamelCase word: why."""
    message: LongText = ""
    """Why, in a sentence."""
    numbers: Annotated[dict[str, str], Field(max_length=24)] = Field(default_factory=dict)
    """The numbers behind it, by name."""


class BudgetedTrainingJobStatus(StatusModel):
    """What Farthing observed and decided."""

    observed_generation: int | None = Field(default=None, ge=0)
    """The generation of the spec that this status is about."""
    state: ShortText | None = None
    """One word for people, derived from the conditions."""
    conditions: Annotated[list[Condition], Field(max_length=24)] = Field(default_factory=list)
    """What is observed, by type."""
    plan: PlanStatus | None = None
    """The chosen plan, with what it predicted."""
    allocation: AllocationStatus | None = None
    """Where the job runs now."""
    attempts: Annotated[list[AttemptStatus], Field(max_length=5)] = Field(default_factory=list)
    """The last five, newest last; all of them live in spend records."""
    holds: Annotated[list[HoldStatus], Field(max_length=16)] = Field(default_factory=list)
    """What is set aside where the job draws on no account."""
    spent: Amounts | None = None
    """What was spent, by axis."""
    remaining: Amounts | None = None
    """What is left of each limit."""
    progress: ProgressStatus | None = None
    """How far the run is."""
    checkpoint: CheckpointStatus | None = None
    """The newest durable checkpoint."""
    prepared: PreparedStatus | None = None
    """The product of the prepare stage."""
    request: RequestStatus | None = None
    """The checkpoint request under way."""
    decisions: Annotated[list[DecisionStatus], Field(max_length=64)] = Field(default_factory=list)
    """The last decisions, newest last."""
    output_uri: Annotated[str, Field(max_length=1024)] | None = None
    """Where the finished model is."""
    start_time: Timestamp | None = None
    """When the job first started."""
    completion_time: Timestamp | None = None
    """When the job was complete or failed."""
    # The printer columns cannot compute: these strings are for them.
    spent_text: ShortText | None = None
    """For the printer column."""
    budget_text: ShortText | None = None
    """For the printer column."""
    progress_text: ShortText | None = None
    """For the printer column."""
    accelerators_text: ShortText | None = None
    """For the printer column."""
