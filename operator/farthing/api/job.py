"""BudgetedTrainingJob (btj): what to train, and the budget that must never be passed."""

from typing import Annotated, Any, Literal

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
    ShortText,
    Timestamp,
    Uri,
    rule,
    rules,
)
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

OpenConfig = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]


class PretrainedModel(ApiModel):
    """A folder with config.json, safetensors and a tokenizer, at an fsspec URI that the worker can read."""

    uri: Uri
    """Where the folder is, for example file:///models/llama-1m or s3://bucket/model."""
    revision: ShortText | None = None
    """A version of the folder, for stores that have versions."""
    config: OpenConfig | None = None
    """The folder's config.json, inline: the operator reads no tenant storage, and plans from this."""


class LoraSpec(ApiModel):
    """Low-rank adapters; arXiv:2106.09685."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("double(self.dropout) < 1.0", 'model.lora.dropout must be below 1: it is a share, for example "0.05"'),
        )
    )
    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    """Width of the adapters."""
    alpha: Annotated[int, Field(ge=1, le=4096)] = 16
    """Scale: the adapters' output is multiplied by alpha ÷ rank."""
    dropout: Money = "0"
    """Share of the adapters' inputs that is dropped while training."""
    target_modules: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=16)] = Field(
        default=["q_proj", "k_proj", "v_proj", "o_proj"]
    )
    """Names of the linear layers that get an adapter."""


class ModelSpec(ApiModel):
    """The model: a preset of the catalogue, a Hugging Face config inline, or pretrained weights."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "(has(self.preset) ? 1 : 0) + (has(self.config) ? 1 : 0) + (has(self.pretrained) ? 1 : 0) == 1",
                "model needs exactly one of preset, config and pretrained",
            )
        )
    )
    preset: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """A model of the catalogue, initialised at random, for example llama-1m."""
    config: OpenConfig | None = None
    """A Hugging Face config.json written inline, initialised at random."""
    pretrained: PretrainedModel | None = None
    """Weights to start from."""
    adapter: Literal["None", "LoRA", "QLoRA", "Auto"] = "None"
    """None trains every weight; LoRA trains low-rank adapters only; Auto leaves it to the planner."""
    lora: LoraSpec | None = None
    """Shape of the adapters, where there are any."""


class DataSourceSpec(ApiModel):
    """Documents at an fsspec URI; globs are allowed, for example file:///data/**/*.py."""

    uri: Uri
    """Where the documents are; read by the worker with the tenant's credentials."""
    format: Literal["Text", "JSONL", "Parquet", "Tokens"] = "Text"
    """Text: one document a file. JSONL and Parquet: one a row. Tokens: already tokenised."""
    text_field: Annotated[str, Field(min_length=1, max_length=128)] = "text"
    """The column that holds the text, in JSONL and Parquet."""


class ValidationSpec(ApiModel):
    """Either a share of the training documents, never trained on, or documents of its own."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.fraction) != has(self.uri)", "validation needs exactly one of fraction and uri"),
            rule(
                "!has(self.fraction) || (double(self.fraction) > 0.0 && double(self.fraction) < 1.0)",
                'validation.fraction must be between 0 and 1, for example "0.01"',
            ),
        )
    )
    fraction: Money | None = None
    """Share of the training documents that is set aside, between 0 and 1."""
    uri: Uri | None = None
    """Documents of its own."""
    format: Literal["Text", "JSONL", "Parquet", "Tokens"] = "Text"
    """Format of the documents at `uri`."""
    text_field: Annotated[str, Field(min_length=1, max_length=128)] = "text"
    """The column that holds the text, in JSONL and Parquet."""


class TokenizerSpec(ApiModel):
    """Either train a byte-level BPE of this size in the prepare stage, or take a tokenizer folder. Absent: the model's own."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.vocabularySize) != has(self.uri)", "tokenizer needs exactly one of vocabularySize and uri")
        )
    )
    vocabulary_size: Annotated[int, Field(ge=257, le=1_000_000)] | None = None
    """Entries of the byte-level BPE that the prepare stage trains."""
    uri: Uri | None = None
    """A folder with tokenizer.json."""


class SelectionSpec(ApiModel):
    """Which examples are worth their FLOPs. Modes other than None are planned for a later release and stall the job."""

    mode: Literal["None", "Dedup", "Importance", "Perplexity", "Auto"] = "None"
    """How examples are chosen; None keeps them all."""
    target: DataSourceSpec | None = None
    """Documents that the selected ones should resemble."""


class DataSpec(ApiModel):
    """What to train on."""

    train: DataSourceSpec
    """The training documents."""
    validation: ValidationSpec = ValidationSpec(fraction="0.01")
    """The documents that the validation loss is measured on."""
    tokenizer: TokenizerSpec | None = None
    """Absent: the model's own tokenizer."""
    selection: SelectionSpec = SelectionSpec()
    """Which examples are worth their FLOPs."""
    sequence_length: Annotated[int, Field(ge=8, le=1_048_576)] = 1024
    """Tokens in one sequence; documents are packed to this length."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Fixes the order of the samples and every random number."""


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
