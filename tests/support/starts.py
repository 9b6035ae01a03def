"""A start of one attempt, whole: action, record and children, as `engine.manifests` builds them from a plan written by hand."""

from datetime import datetime, timedelta
from decimal import Decimal

from farthing.api import BudgetedTrainingJob, GPUNodePool, SpendRecordStatus
from farthing.api.amounts import Axis, amounts
from farthing.api.spend import Interval, Quote
from farthing.contract.names import attempt_name
from farthing.contract.runconfig import (
    BatchConfig,
    CheckpointConfig,
    ControlConfig,
    DataConfig,
    DataSource,
    End,
    JobIdentity,
    LeaseConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    TokenizerConfig,
)
from farthing.domain.decision import Because, Lease, NestedEnds, OpenAttempt
from farthing.domain.outcome import Outcome
from farthing.domain.plan import Allocation, MemoryEstimate, Plan, Prediction, Strategy
from farthing.engine.manifests import ManifestContext, Manifests, attempt_manifests
from farthing.settings import Settings
from farthing.units import format_time

ENDS = NestedEnds(trainer=240, supervisor=260, pod=280, job=280, hard=320, grace=10, startup_timeout=600)
HELD = {Axis.COST: Decimal("0.10"), Axis.ACCELERATOR_HOURS: Decimal("0.2")}


def start(job: BudgetedTrainingJob, pool: GPUNodePool, number: int, now: datetime, pods: int = 2) -> OpenAttempt:
    """Attempt `number` of a job with `pods` pods of one accelerator on the pool."""
    name = attempt_name(job.metadata.name, job.metadata.uid, number)
    quote = Quote(from_time=format_time(now), per_accelerator_hour="0.50", currency="USD", source="example")
    lease = Lease(ends=ENDS, held=HELD, quote=quote, flops=1e15, tokens=None, lands=True, binding="cost")
    return OpenAttempt(
        job=f"{job.metadata.namespace}/{job.metadata.name}",
        attempt=name,
        number=number,
        stage="Train",
        plan=plan(pool, pods),
        lease=lease,
        run_config=run_config(job, name, number, pods),
        because=Because("Started", "a test wants it"),
    )


def manifests(
    action: OpenAttempt, job: BudgetedTrainingJob, pool: GPUNodePool, now: datetime, *, native_gangs: bool = True
) -> Manifests:
    """The objects of a start. Pods take the cluster's default priority: the chart's class is not installed here."""
    settings = Settings.model_validate({"worker": {"priorityClass": None}})
    context = ManifestContext(job=job, pool=pool, settings=settings, native_gangs=native_gangs, opened_at=format_time(now))
    return attempt_manifests(action, context)


def settled(cost: str, now: datetime) -> SpendRecordStatus:
    """A bill of one minute."""
    since = Interval(
        from_time=format_time(now),
        to=format_time(now + timedelta(minutes=1)),
        seconds=60,
        per_accelerator_hour="0.50",
        cost=cost,
    )
    charged = amounts({Axis.COST: Decimal(cost), Axis.ACCELERATOR_HOURS: Decimal("0.034")})
    return SpendRecordStatus(
        phase="Settled", intervals=[since], charged=charged, outcome=Outcome.STOPPED, settled_at=format_time(now)
    )


def plan(pool: GPUNodePool, pods: int) -> Plan:
    """A plan whose predictions are all the same: nothing here depends on them."""
    some = Prediction(100.0, 0.2, "", "written by hand")
    return Plan(
        allocation=Allocation(pool.metadata.name, pool.spec.accelerator, pods, 1),
        strategy=Strategy("float32", "FullShard", "Root", "None", micro_batch=2, accumulation=1, adapter="None"),
        memory=MemoryEstimate({"backward": {"states": 1e6}}, baseline=1e6, safety=1.1),
        memory_request_bytes=2**20,
        shm_bytes=2**20,
        step_seconds=some,
        tokens_per_second=some,
        startup_seconds=some,
        checkpoint_seconds=some,
        tokens=some,
        seconds=some,
        cost=some,
        flops=some,
        loss=some,
        flops_per_token=1e6,
        peak_flops_per_second=1e11,
        price_per_hour=1.0,
        binding="cost",
    )


def run_config(job: BudgetedTrainingJob, attempt: str, number: int, pods: int) -> RunConfig:
    """What the pods would be told."""
    return RunConfig(
        stage="Train",
        job=JobIdentity(
            namespace=job.metadata.namespace or "default",
            name=job.metadata.name,
            uid=job.metadata.uid,
            attempt=attempt,
            attempt_number=number,
        ),
        model=ModelConfig(config={"model_type": "llama"}),
        data=DataConfig(
            train=DataSource(uri="file:///data/*.py"),
            tokenizer=TokenizerConfig(vocabulary_size=1024),
            sequence_length=256,
            prepared_uri="/checkpoints/prepared",
        ),
        batch=BatchConfig(global_batch=2 * pods, micro_batch=2, accumulation=1),
        optimizer=OptimizerConfig(learning_rate=0.001),
        lease=LeaseConfig(
            trainer_end=End(seconds=ENDS.trainer),
            supervisor_end=End(seconds=ENDS.supervisor),
            budget_end=End(seconds=ENDS.trainer),
            grace_seconds=ENDS.grace,
            startup_seconds=ENDS.startup_timeout,
        ),
        checkpoint=CheckpointConfig(uri="/checkpoints/x"),
        control=ControlConfig(port=9400),
        output_uri="/checkpoints/x/output",
        pods=pods,
        processes_per_pod=1,
    )
