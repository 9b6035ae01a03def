"""`result.json`: what happened, as data. docs/demo.md tells of every field."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Part(BaseModel):
    """A part of the result; camelCase in the file."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True)


class StageTime(Part):
    """How long one stage took."""

    name: str
    """What was done."""
    seconds: float
    """Wall time."""


class AttemptResult(Part):
    """One attempt, from its spend record."""

    name: str
    """The attempt's name."""
    stage: str
    """Prepare or Train."""
    from_time: str | None = Field(alias="from")
    """When its first pod was bound."""
    to: str | None
    """When its last container ended."""
    first_step: int | None
    """The first optimizer step that it made."""
    last_step: int | None
    """The last one."""
    resumed_from: int | None
    """The checkpoint's step that it went on from."""
    why_ended: str
    """The outcome: Prepared, Stopped, Landed …"""
    message: str
    """The trainer's last word, or what the operator saw."""
    lost_steps: int
    """Steps made again because no checkpoint held them."""
    cost: str | None
    """Charged, in the budget's currency."""


class CheckpointResult(Part):
    """One durable checkpoint."""

    step: int
    """Optimizer steps made."""
    digest: str
    """SHA-256 of its manifest."""
    seconds: float | None
    """How long writing took."""
    kept: bool
    """Whether it still lies on the volume; older ones are removed (`checkpoint.keep`)."""


class PredictionResult(Part):
    """One predicted number beside its measurement."""

    name: str
    """What: memory, tokensPerSecond, cost, loss …"""
    unit: str
    """Its unit."""
    predicted: str
    """The planner's median."""
    low: str | None
    """Lower end of its 80 % interval."""
    high: str | None
    """Upper end."""
    measured: str | None
    """What was measured; absent where nothing was."""
    error: float | None
    """predicted ÷ measured − 1."""


class JobResult(Part):
    """One job."""

    name: str
    """Its name."""
    state: str
    """Its state at the end: Complete."""
    limit: dict[str, str]
    """The budget's limits by axis."""
    spent: dict[str, str]
    """What it spent, by axis."""
    spend_records: list[dict[str, Any]]
    """Its spend records, spec and status as the API server holds them."""
    attempts: list[AttemptResult]
    """Every attempt in order."""
    checkpoints: list[CheckpointResult]
    """Every durable checkpoint that was seen, by step."""
    predictions: list[PredictionResult]
    """Predicted and measured."""
    validation_loss: float | None
    """At the end, in nats a token."""
    bits_per_byte: float | None
    """The same, comparable across tokenizers."""
    weights: str | None
    """The folder on this machine that transformers loads."""
    decisions: list[dict[str, Any]]
    """The decision log, as `farthing why` reads it."""


class SampleResult(Part):
    """What the finished model wrote."""

    prompt: str
    """What it was given."""
    text: str
    """What it went on with."""


class ConditionResult(Part):
    """One thing that had to be so."""

    name: str
    """What had to be so."""
    holds: bool
    """Whether it was."""
    detail: str
    """The numbers."""


class DemoResult(Part):
    """The whole file."""

    version: str
    """Farthing's version."""
    started: str
    """When the demo began (RFC 3339)."""
    seconds: float
    """How long it took in all."""
    machine: dict[str, str]
    """Processor, cores, memory and Python of this machine."""
    images: dict[str, str]
    """References of the operator's and the trainer's image."""
    stages: list[StageTime]
    """Where the time went."""
    jobs: dict[str, JobResult]
    """By name."""
    sample: SampleResult | None
    """One sample of the first job's model."""
    conditions: list[ConditionResult]
    """Everything that had to be so."""
    passed: bool
    """Whether all of it was: the exit status is then 0."""

    def to_json(self) -> str:
        """The file's text."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"
