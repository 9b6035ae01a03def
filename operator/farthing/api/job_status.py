"""What Farthing observed and decided about a job: `BudgetedTrainingJob.status`. Written by the operator alone."""

from typing import Annotated, Literal

from pydantic import Field

from farthing.api.amounts import Amounts
from farthing.api.base import LongText, Money, Name, ShortText, StatusModel, Timestamp
from farthing.api.conditions import Condition


class Estimate(StatusModel):
    """A predicted number with its 80 % interval, beside what was measured."""

    value: str
    low: str | None = None
    high: str | None = None
    measured: str | None = None
    unit: ShortText = ""
    source: Annotated[str, Field(max_length=512)] = ""


class AllocationStatus(StatusModel):
    """Where the job runs: `pods` × `acceleratorsPerPod` on `pool`."""

    pool: Name
    accelerator: Name
    pods: int
    accelerators_per_pod: int


class RejectedPlan(StatusModel):
    """A family of plans that was not chosen, the constraint that killed it, and by how much."""

    plan: Annotated[str, Field(max_length=256)]
    constraint: Annotated[str, Field(max_length=512)]


class PlanStatus(StatusModel):
    """The chosen plan with its predictions."""

    allocation: AllocationStatus
    precision: ShortText
    sharding: ShortText
    grouping: ShortText
    activation_checkpointing: ShortText
    micro_batch_size: int
    accumulation: int
    global_batch_size: int
    memory_request: Annotated[str, Field(max_length=24)]
    memory_step: int = 0
    """How often the planner stepped down after a worker was killed for memory."""
    predictions: Annotated[dict[str, Estimate], Field(max_length=32)] = Field(default_factory=dict)
    """By name: memory, tokensPerSecond, stepSeconds, startupSeconds, cost, tokens, loss, seconds."""
    memory_terms: Annotated[dict[str, str], Field(max_length=32)] = Field(default_factory=dict)
    """Bytes by named term of the phase with the peak."""
    rejected: Annotated[list[RejectedPlan], Field(max_length=16)] = Field(default_factory=list)


class AttemptStatus(StatusModel):
    """One attempt, as its spend record tells it."""

    name: Name
    number: int
    stage: ShortText
    phase: ShortText
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    outcome: ShortText | None = None
    first_step: int | None = None
    last_step: int | None = None
    cost: Money | None = None


class HoldStatus(StatusModel):
    """Budget set aside for an attempt of a job that draws on no account."""

    attempt: Name
    amounts: Amounts


class RequestStatus(StatusModel):
    """The checkpoint request under way: written before it is sent."""

    id: Annotated[str, Field(max_length=64)]
    attempt: Name
    reason: ShortText
    then: Literal["Stop", "Continue"]
    requested_at: Timestamp
    deadline: Timestamp
    failures: int = 0
    acknowledged_step: int | None = None
    digest: Annotated[str, Field(max_length=128)] | None = None


class ProgressStatus(StatusModel):
    """How far the run is; written at most every 15 seconds."""

    phase: ShortText = ""
    step: int = 0
    last_step: int | None = None
    tokens: str = "0"
    loss: str | None = None
    validation_loss: str | None = None
    bits_per_byte: str | None = None
    tokens_per_second: str | None = None
    memory: str | None = None
    eta: str | None = None
    time: Timestamp | None = None


class CheckpointStatus(StatusModel):
    """The newest durable checkpoint."""

    step: int
    tokens: str
    uri: Annotated[str, Field(max_length=1024)]
    digest: Annotated[str, Field(max_length=128)]
    time: Timestamp
    seconds: str | None = None


class PreparedStatus(StatusModel):
    """The product of the prepare stage."""

    digest: Annotated[str, Field(max_length=128)]
    tokens: int
    attempt: Name


class DecisionStatus(StatusModel):
    """One decision: what was done, why, and the numbers. `farthing why` prints these."""

    time: Timestamp
    action: ShortText
    reason: ShortText
    message: LongText = ""
    numbers: Annotated[dict[str, str], Field(max_length=24)] = Field(default_factory=dict)


class BudgetedTrainingJobStatus(StatusModel):
    """What Farthing observed and decided."""

    observed_generation: int | None = Field(default=None, ge=0)
    state: ShortText | None = None
    conditions: Annotated[list[Condition], Field(max_length=24)] = Field(default_factory=list)
    plan: PlanStatus | None = None
    allocation: AllocationStatus | None = None
    attempts: Annotated[list[AttemptStatus], Field(max_length=5)] = Field(default_factory=list)
    holds: Annotated[list[HoldStatus], Field(max_length=16)] = Field(default_factory=list)
    spent: Amounts | None = None
    remaining: Amounts | None = None
    progress: ProgressStatus | None = None
    checkpoint: CheckpointStatus | None = None
    prepared: PreparedStatus | None = None
    request: RequestStatus | None = None
    decisions: Annotated[list[DecisionStatus], Field(max_length=64)] = Field(default_factory=list)
    output_uri: Annotated[str, Field(max_length=1024)] | None = None
    start_time: Timestamp | None = None
    completion_time: Timestamp | None = None
    # The printer columns cannot compute: these strings are for them.
    spent_text: ShortText | None = None
    budget_text: ShortText | None = None
    progress_text: ShortText | None = None
    accelerators_text: ShortText | None = None
