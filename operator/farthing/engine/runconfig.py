"""What the pods of one attempt are told: spec + plan + lease → the contract's RunConfig."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from farthing.api import BudgetedTrainingJob, GPUNodePool
from farthing.api.job import BudgetedTrainingJobSpec, DataSpec
from farthing.catalog import accelerator, preset
from farthing.contract.names import CHECKPOINT_DIR, CONTROL_PORT, TOKEN_DIR, TOKEN_KEY, uid_hash
from farthing.contract.runconfig import (
    BatchConfig,
    CheckpointConfig,
    ControlConfig,
    DataConfig,
    DataSource,
    End,
    EvaluationConfig,
    JobIdentity,
    LeaseConfig,
    LoraConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    ScheduleConfig,
    Stage,
    StrategyConfig,
    TokenizerConfig,
)
from farthing.domain.decision import Lease
from farthing.domain.plan import Plan
from farthing.units import format_time, parse_duration

COUNTED: Final = frozenset({"flops", "tokens", "wanted", "none"})
"""Bindings of a lease whose seconds do not end because a budget does: the trainer counts these itself."""


@dataclass(frozen=True, slots=True)
class AttemptIdentity:
    """Which attempt: its name, its number and its stage. `from_trunk`: it goes back behind a landing (`engine.raises`)."""

    name: str
    number: int
    stage: Stage
    from_trunk: bool = False


def run_config(
    job: BudgetedTrainingJob, identity: AttemptIdentity, plan: Plan, lease: Lease, pool: GPUNodePool, now: datetime
) -> RunConfig:
    """The run config of an attempt that is opened `now`. Raises UnknownPreset where the catalogue lacks the model."""
    spec = job.spec
    return RunConfig(
        stage=identity.stage,
        job=_identity(job, identity),
        model=_model(spec, plan),
        data=_data(spec),
        batch=BatchConfig(
            global_batch=spec.training.global_batch_size,
            micro_batch=plan.strategy.micro_batch,
            accumulation=plan.strategy.accumulation,
        ),
        optimizer=_optimizer(spec),
        schedule=ScheduleConfig(
            warmup_steps=spec.training.warmup_steps, landing_fraction=float(spec.training.landing_fraction)
        ),
        strategy=_strategy(plan),
        lease=lease_config(lease, now),
        on_exhausted=spec.budget.on_exhausted,
        checkpoint=_checkpoint(job, plan, pool, from_trunk=identity.from_trunk),
        evaluation=EvaluationConfig(interval_steps=spec.training.evaluation_interval),
        control=ControlConfig(port=CONTROL_PORT, token_file=f"{TOKEN_DIR}/{TOKEN_KEY}"),
        output_uri=output_uri(job),
        pods=plan.allocation.pods,
        processes_per_pod=plan.allocation.accelerators_per_pod,
        peak_flops_per_second=plan.peak_flops_per_second or None,
        memory_limit_bytes=plan.memory_request_bytes if accelerator(plan.allocation.accelerator).kind == "CPU" else None,
    )


def lease_config(lease: Lease, now: datetime) -> LeaseConfig:
    """The ends inside the pod.

    Ends count from the first bind, which comes after `now`: an absolute end of now + seconds can only be earlier than the one
    granted, so a slow start shortens the run and never lengthens the bill. `seconds` guards against a stepped wall clock.
    """
    trainer = _end(lease, lease.ends.trainer, now)
    return LeaseConfig(
        trainer_end=trainer,
        supervisor_end=_end(lease, lease.ends.supervisor, now),
        budget_end=budget_end(lease, trainer),
        grace_seconds=lease.ends.grace,
        startup_seconds=lease.ends.startup_timeout,
    )


def budget_end(lease: Lease, trainer: End) -> End:
    """What starts a landing: the clock only where this lease ends because the budget does; FLOPs and tokens always."""
    on_the_clock = lease.lands and lease.binding not in COUNTED
    return End(
        seconds=trainer.seconds if on_the_clock else None,
        not_after=trainer.not_after if on_the_clock else None,
        flops=lease.flops,
        tokens=lease.tokens,
    )


def storage_uri(job: BudgetedTrainingJob) -> str:
    """Root of the checkpoint storage, as the pods see it."""
    uri = job.spec.checkpoint.storage.uri
    return uri.rstrip("/") if uri else f"file://{CHECKPOINT_DIR}"


def checkpoint_uri(job: BudgetedTrainingJob) -> str:
    """Folder of this job's checkpoints: a job re-created under the same name has another one."""
    return f"{storage_uri(job)}/{job.metadata.name}-{uid_hash(job.metadata.uid)}"


def output_uri(job: BudgetedTrainingJob) -> str:
    """Folder of the finished model."""
    return job.spec.output.uri if job.spec.output else f"{checkpoint_uri(job)}/output"


def _end(lease: Lease, seconds: int, now: datetime) -> End:
    return End(
        seconds=seconds,
        not_after=format_time(now + timedelta(seconds=seconds)),
        flops=lease.flops,
        tokens=lease.tokens,
    )


def _identity(job: BudgetedTrainingJob, identity: AttemptIdentity) -> JobIdentity:
    meta = job.metadata
    return JobIdentity(
        namespace=meta.namespace or "default",
        name=meta.name,
        uid=meta.uid,
        attempt=identity.name,
        attempt_number=identity.number,
    )


def model_config(spec: BudgetedTrainingJobSpec) -> dict[str, Any] | None:
    """The Hugging Face config that the run starts from; None where weights are given."""
    if spec.model.preset is not None:
        return preset(spec.model.preset)
    return None if spec.model.config is None else dict(spec.model.config)


def _model(spec: BudgetedTrainingJobSpec, plan: Plan) -> ModelConfig:
    lora, pretrained = spec.model.lora, spec.model.pretrained
    shape = LoraConfig()
    if lora is not None:
        shape = LoraConfig(
            rank=lora.rank, alpha=lora.alpha, dropout=float(lora.dropout), target_modules=tuple(lora.target_modules)
        )
    return ModelConfig(
        config=model_config(spec),
        pretrained_uri=None if pretrained is None else pretrained.uri,
        adapter=plan.strategy.adapter,
        lora=shape,
    )


def _data(spec: BudgetedTrainingJobSpec) -> DataConfig:
    data, validation = spec.data, spec.data.validation
    held_out = None
    if validation.uri is not None:
        held_out = DataSource(uri=validation.uri, format=validation.format, text_field=validation.text_field)
    return DataConfig(
        train=DataSource(uri=data.train.uri, format=data.train.format, text_field=data.train.text_field),
        validation=held_out,
        validation_fraction=float(validation.fraction or "0.01"),
        tokenizer=_tokenizer(spec, data),
        sequence_length=data.sequence_length,
        seed=data.seed,
        prepared_uri=_prepared_uri(spec),
    )


def _prepared_uri(spec: BudgetedTrainingJobSpec) -> str:
    uri = spec.checkpoint.storage.uri
    return f"{uri.rstrip('/') if uri else f'file://{CHECKPOINT_DIR}'}/prepared"


def _tokenizer(spec: BudgetedTrainingJobSpec, data: DataSpec) -> TokenizerConfig:
    """The tokenizer that the user names, else the pretrained model's, else a new one of the model's own vocabulary."""
    if data.tokenizer is not None:
        return TokenizerConfig(vocabulary_size=data.tokenizer.vocabulary_size, uri=data.tokenizer.uri)
    if spec.model.pretrained is not None:
        return TokenizerConfig(uri=spec.model.pretrained.uri)
    return TokenizerConfig(vocabulary_size=(model_config(spec) or {})["vocab_size"])


def _optimizer(spec: BudgetedTrainingJobSpec) -> OptimizerConfig:
    training = spec.training
    return OptimizerConfig(
        learning_rate=float(training.learning_rate),
        weight_decay=float(training.weight_decay),
        max_gradient_norm=float(training.max_gradient_norm),
    )


def _strategy(plan: Plan) -> StrategyConfig:
    chosen = plan.strategy
    return StrategyConfig(
        precision=chosen.precision,
        sharding=chosen.sharding,
        grouping=chosen.grouping,
        activation_checkpointing=chosen.activation_checkpointing,
        deterministic=chosen.deterministic,
        compile=chosen.compile,
    )


def _checkpoint(job: BudgetedTrainingJob, plan: Plan, pool: GPUNodePool, *, from_trunk: bool) -> CheckpointConfig:
    """One node failing stops the gang, so a gang of n fails n times as often as a node."""
    interval = job.spec.checkpoint.interval
    return CheckpointConfig(
        uri=checkpoint_uri(job),
        interval_seconds=None if interval == "Auto" else float(parse_duration(interval)),
        mean_time_between_failures_seconds=parse_duration(pool.spec.mean_time_between_failures) / plan.allocation.pods,
        keep=job.spec.checkpoint.keep,
        resume="Trunk" if from_trunk else "Newest",
    )
