"""BudgetedTrainingJob (btj): what to train, and the budget that must never be passed."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from farthing.api.amounts import Limits
from farthing.api.base import (
    A_SECOND,
    ApiModel,
    Currency,
    Duration,
    LabelSelector,
    LocalReference,
    Money,
    Name,
    ObjectMeta,
    Timestamp,
    Uri,
    rule,
    rules,
)
from farthing.api.job_data import DataSourceSpec, DataSpec, SelectionSpec, TokenizerSpec, ValidationSpec
from farthing.api.job_model import LoraSpec, ModelSpec, PretrainedModel
from farthing.api.job_rules import JOB_RULES
from farthing.api.job_status import (
    AllocationStatus,
    AttemptStatus,
    BudgetedTrainingJobStatus,
    CheckpointStatus,
    DecisionStatus,
    Estimate,
    HoldStatus,
    PlanStatus,
    PreparedStatus,
    ProgressStatus,
    RejectedPlan,
    RequestStatus,
)
from farthing.api.template import PodTemplate
from farthing.units import DURATION_PATTERN


class TrainingSpec(ApiModel):
    """How the optimisation runs. What the user fixes here the planner keeps; decimals are strings."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("double(self.learningRate) > 0.0", 'training.learningRate must be above 0, for example "0.001"'),
            rule(
                "double(self.maxGradientNorm) > 0.0",
                'training.maxGradientNorm must be above 0, for example "1"; a large one clips nothing',
            ),
            rule(
                "double(self.landingFraction) > 0.0 && double(self.landingFraction) <= 0.9",
                'training.landingFraction must be above 0 and at most 0.9, for example "0.2"',
            ),
        )
    )
    global_batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    """Sequences a step, fixed for the job whatever the number of workers."""
    learning_rate: Money = "0.001"
    """The stable rate between warm-up and landing."""
    weight_decay: Money = "0.1"
    """AdamW's decoupled weight decay."""
    max_gradient_norm: Money = "1"
    """Gradients are clipped to this norm."""
    warmup_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 20
    """Steps in which the learning rate rises from zero."""
    landing_fraction: Money = "0.2"
    """Share of the run that is the learning rate's decay."""
    evaluation_interval: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Steps between validations; absent: at checkpoints' pace, and at the end."""


class BudgetSpec(ApiModel):
    """The line that is never passed. A suspended job keeps what it spent: nothing resets on resume."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("!has(self.limits.cost) || has(self.currency)", "a cost limit needs budget.currency, for example USD"),
        )
    )
    limits: Limits
    """What the job may spend in all, on any mix of axes; the first one reached binds."""
    currency: Currency | None = None
    """ISO 4217 code of `limits.cost`; pools with another currency are not used."""
    deadline: Timestamp | None = None
    """When the run must be finished at the latest."""
    account_ref: LocalReference | None = None
    """A TrainingBudget of the namespace that the job draws on beside its own limits."""
    on_exhausted: Literal["Land", "CheckpointAndStop"] = "Land"
    """Land: the learning rate decays to its end just as the budget does. CheckpointAndStop: stop at the stable rate."""


class AcceleratorRange(ApiModel):
    """How many accelerators the job may use at once."""

    model_config = ConfigDict(
        json_schema_extra=rules(rule("self.min <= self.max", "accelerators.min must not be above accelerators.max"))
    )
    min: Annotated[int, Field(ge=1, le=65_536)] = 1
    """Fewer than this, and the job waits."""
    max: Annotated[int, Field(ge=1, le=65_536)] = 8
    """Never more than this."""


class StrategySpec(ApiModel):
    """Parts of the plan that the user fixes; what is absent the planner chooses."""

    sharding: Literal["None", "FullShard"] | None = None
    """None: every worker holds all states. FullShard: parameters, gradients and optimizer states are shared out (FSDP2)."""
    grouping: Literal["Root", "PerLayer"] | None = None
    """What is gathered at once under FullShard: the whole model, or one layer."""
    precision: Literal["float32", "bfloat16"] | None = None
    """The dtype of the matrix products."""
    activation_checkpointing: Literal["None", "Full"] | None = None
    """Full: activations are computed again in the backward pass, which buys memory with FLOPs."""
    micro_batch_size: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """Sequences that one worker takes at once."""
    deterministic: bool | None = None
    """Bitwise reproducible kernels, at a price in speed."""
    compile: bool | None = None
    """Compile the blocks with torch.compile."""


class ComputeSpec(ApiModel):
    """Where it may run."""

    pool_selector: LabelSelector = LabelSelector()
    """Labels of the pools that may be used; empty: every pool that the namespace may use."""
    accelerators: AcceleratorRange = AcceleratorRange()
    """How many accelerators the job may use at once."""
    spot: Literal["Allow", "Never", "Only"] = "Allow"
    """Whether pools of interruptible capacity may be used."""
    strategy: StrategySpec = StrategySpec()
    """Parts of the plan that are fixed here rather than chosen by the planner."""
    startup_timeout: Duration = "10m"
    """Not all pods ready by then: the attempt ends with PodsReadyTimeout. The time is billed, and shown as waste."""


class ClaimReference(ApiModel):
    """A persistent volume claim in the job's namespace."""

    claim_name: Name
    """Name of the claim; jobs on more than one node need access mode ReadWriteMany."""
    sub_path: Annotated[str, Field(max_length=512)] | None = None
    """A folder inside the volume."""


class StorageSpec(ApiModel):
    """Where checkpoints live: a claim (mounted at /checkpoints) or an fsspec URI."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.persistentVolumeClaim) != has(self.uri)",
                "checkpoint.storage needs exactly one of persistentVolumeClaim and uri",
            )
        )
    )
    persistent_volume_claim: ClaimReference | None = None
    """A claim in the job's namespace."""
    uri: Uri | None = None
    """An fsspec URI, for example s3://bucket/checkpoints."""


class CheckpointSpec(ApiModel):
    """How often, and how many are kept beside the trunk and the newest."""

    storage: StorageSpec
    """Where checkpoints live."""
    interval: Annotated[
        str, Field(pattern=f"^Auto$|{DURATION_PATTERN}", min_length=2, max_length=32, json_schema_extra=rules(A_SECOND))
    ] = "Auto"
    """Auto: Young/Daly, from the measured write time and the pool's failure rate; or a duration such as 10m."""
    keep: Annotated[int, Field(ge=1, le=100)] = 3
    """How many are kept beside the newest and the one just before the landing."""


class OutputSpec(ApiModel):
    """Where the finished model goes: a folder that transformers' AutoModelForCausalLM loads."""

    uri: Uri
    """An fsspec URI that the worker can write."""


class BudgetedTrainingJobSpec(ApiModel):
    """What to train and what it may cost."""

    model: ModelSpec
    """What to train; cannot change once the job has started."""
    data: DataSpec
    """What to train on; cannot change once the job has started."""
    training: TrainingSpec = TrainingSpec()
    """How the optimisation runs."""
    budget: BudgetSpec
    """The line that is never passed."""
    compute: ComputeSpec = ComputeSpec()
    """Where it may run."""
    checkpoint: CheckpointSpec
    """Where and how often checkpoints are written."""
    output: OutputSpec | None = None
    """Absent: `output` below the job's folder on the checkpoint storage."""
    priority_class_name: Name | None = None
    """Orders Farthing's queue; the pods carry the chart's own class, which preempts nothing."""
    suspend: bool = False
    """True: the job is checkpointed and its pods end; nothing is forgotten, and the budget does not start anew."""
    backoff_limit: Annotated[int, Field(ge=0, le=1000)] = 6
    """Failed attempts before the job fails; preemptions, drains and steps down for memory are not counted."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Seconds after its end when the job is deleted; its spend records stay."""
    managed_by: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Absent or farthing.dev/operator: this operator. Another value: the job is left to that controller."""
    template: PodTemplate = PodTemplate()
    """What the pods carry beside what Farthing gives them."""


class BudgetedTrainingJob(ApiModel):
    """A training run that lands inside its budget."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra=rules(*JOB_RULES),
    )
    api_version: Literal["farthing.dev/v1alpha1"] = "farthing.dev/v1alpha1"
    kind: Literal["BudgetedTrainingJob"] = "BudgetedTrainingJob"
    metadata: ObjectMeta
    spec: BudgetedTrainingJobSpec
    status: BudgetedTrainingJobStatus = BudgetedTrainingJobStatus()


__all__ = [
    "AcceleratorRange", "AllocationStatus", "AttemptStatus", "BudgetSpec", "BudgetedTrainingJob", "BudgetedTrainingJobSpec",
    "BudgetedTrainingJobStatus", "CheckpointSpec", "CheckpointStatus", "ClaimReference", "ComputeSpec", "DataSourceSpec",
    "DataSpec", "DecisionStatus", "Estimate", "HoldStatus", "LoraSpec", "ModelSpec", "OutputSpec", "PlanStatus",
    "PreparedStatus", "PretrainedModel", "ProgressStatus", "RejectedPlan", "RequestStatus", "SelectionSpec", "StorageSpec",
    "StrategySpec", "TokenizerSpec", "TrainingSpec", "ValidationSpec",
]  # fmt: skip
