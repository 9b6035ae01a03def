"""The run config: everything that the pods of one attempt are told. Written by the operator into a ConfigMap, read once.

It also starts a run from a shell: `python -m farthing_trainer --config run.json`.
"""

from typing import Any, Literal

from pydantic import Field

from farthing.contract.base import Message
from farthing.contract.flops import ActivationCheckpointing, Adapter

Stage = Literal["Prepare", "Train"]
DataFormat = Literal["Text", "JSONL", "Parquet", "Tokens"]
Precision = Literal["float32", "bfloat16"]
Sharding = Literal["None", "FullShard"]
Grouping = Literal["Root", "PerLayer"]
OnExhausted = Literal["Land", "CheckpointAndStop"]


class JobIdentity(Message):
    """Whose attempt this is. Used in labels of metrics and to tell two jobs of one name apart."""

    namespace: str
    name: str
    uid: str
    attempt: str
    attempt_number: int = Field(ge=0)


class LoraConfig(Message):
    """Low-rank adapters on the named linear layers; arXiv:2106.09685."""

    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=16.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")


class ModelConfig(Message):
    """Exactly one of `config` (a Hugging Face config.json as a mapping; random weights) and `pretrained_uri` (a folder)."""

    config: dict[str, Any] | None = None
    pretrained_uri: str | None = None
    adapter: Adapter = "None"
    lora: LoraConfig = LoraConfig()


class DataSource(Message):
    """Text or tokens at an fsspec URI, globs allowed. `text_field` names the column of JSONL and Parquet rows."""

    uri: str
    format: DataFormat = "Text"
    text_field: str = "text"


LEAST_VOCABULARY: int = 257
"""Entries of a byte-level BPE: every byte, and one merge."""


class TokenizerConfig(Message):
    """Exactly one of `vocabulary_size` (train a byte-level BPE in the prepare stage) and `uri` (a tokenizer folder)."""

    vocabulary_size: int | None = Field(default=None, ge=LEAST_VOCABULARY)
    uri: str | None = None


class DataConfig(Message):
    """What to train on. `validation` absent: `validation_fraction` of the documents, chosen by hash, never trained on.

    `prepared_uri`: folder for the products of the prepare stage, content-addressed below it.
    """

    train: DataSource
    validation: DataSource | None = None
    validation_fraction: float = Field(default=0.01, gt=0, lt=1)
    tokenizer: TokenizerConfig
    sequence_length: int = Field(ge=8)
    seed: int = 0
    prepared_uri: str


class BatchConfig(Message):
    """`global_batch` sequences a step = world × micro_batch × accumulation, exactly."""

    global_batch: int = Field(ge=1)
    micro_batch: int = Field(ge=1)
    accumulation: int = Field(ge=1)


class OptimizerConfig(Message):
    """AdamW with decoupled weight decay (arXiv:1711.05101) and clipping of the global gradient norm."""

    learning_rate: float = Field(gt=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    max_gradient_norm: float = Field(default=1.0, gt=0)


class ScheduleConfig(Message):
    """Warm-up, stable, decay. `landing_fraction` of the run's tokens is the decay (10–25 %, arXiv:2405.18392)."""

    warmup_steps: int = Field(default=20, ge=0)
    landing_fraction: float = Field(default=0.2, gt=0, le=0.9)
    landing_shape: Literal["OneMinusSqrt", "Linear"] = "OneMinusSqrt"


class StrategyConfig(Message):
    """How the step is executed; part of the execution signature."""

    precision: Precision = "float32"
    sharding: Sharding = "FullShard"
    grouping: Grouping = "Root"
    activation_checkpointing: ActivationCheckpointing = "None"
    deterministic: bool = False
    compile: bool = False


class End(Message):
    """Until when; the earliest member binds, None does not bind.

    `seconds` counts on the monotonic clock from the supervisor's start; `not_after` is absolute (RFC 3339, may have fractions);
    `flops` are what this attempt may execute; `tokens` is the limit of the surviving lineage, all attempts together.
    """

    seconds: float | None = Field(default=None, ge=0)
    not_after: str | None = None
    flops: float | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)


class LeaseConfig(Message):
    """The nested ends inside the pod (DESIGN 4). `trainer_end` ≤ `supervisor_end`; `budget_end` alone starts a landing.

    A trainer whose lease ends before its budget does checkpoints and leaves with 143.
    """

    trainer_end: End
    supervisor_end: End
    budget_end: End
    grace_seconds: float = Field(gt=0)
    """terminationGracePeriodSeconds of the pod: SIGTERM is a checkpoint request with this deadline."""
    startup_seconds: float = Field(gt=0)
    """For this long rank 0's name is retried; then 75."""


class CheckpointConfig(Message):
    """Where and how often. `interval_seconds` None: Young/Daly from the measured write time and the pool's failure rate.

    `resume`: Newest, or Trunk, the checkpoint just before a landing, where the budget was raised after it.
    """

    uri: str
    interval_seconds: float | None = Field(default=None, gt=0)
    mean_time_between_failures_seconds: float = Field(default=86400.0, gt=0)
    keep: int = Field(default=3, ge=1)
    resume: Literal["Newest", "Trunk"] = "Newest"


class EvaluationConfig(Message):
    """Validation every `interval_steps` (None: only at the end) over at most `sequences` sequences."""

    interval_steps: int | None = Field(default=None, ge=1)
    sequences: int = Field(default=64, ge=1)


class ControlConfig(Message):
    """Rank 0's port and the file that holds the bearer token; no token file: POST routes are refused."""

    port: int = Field(ge=0, le=65535)
    token_file: str | None = None


class RunConfig(Message):
    """Everything one attempt is told."""

    version: Literal["v1alpha1"] = "v1alpha1"
    stage: Stage
    job: JobIdentity
    model: ModelConfig
    data: DataConfig
    batch: BatchConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig = ScheduleConfig()
    strategy: StrategyConfig = StrategyConfig()
    lease: LeaseConfig
    on_exhausted: OnExhausted = "Land"
    checkpoint: CheckpointConfig
    evaluation: EvaluationConfig = EvaluationConfig()
    control: ControlConfig
    output_uri: str
    pods: int = Field(ge=1)
    processes_per_pod: int = Field(ge=1)
    peak_flops_per_second: float | None = Field(default=None, gt=0)
    """Dense peak of one accelerator at this precision, for mfu; None: unknown, no mfu is reported."""
    memory_limit_bytes: int | None = Field(default=None, ge=1)
    """Memory that one pod may use on a CPU; None: the device's own size."""

    @property
    def world_size(self) -> int:
        """Processes in the gang."""
        return self.pods * self.processes_per_pod

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one global batch."""
        return self.batch.global_batch * self.data.sequence_length
