"""What attempts were measured to do, for the planner: from settled records, and from the reports of those that run."""

from farthing.api.amounts import Axis
from farthing.contract.progress import Progress
from farthing.domain.plan import Plan
from farthing.domain.planning import Measurement
from farthing.domain.snapshot import Attempt, JobView, Snapshot
from farthing.engine.opening import plan_of
from farthing.ledger.report import STARTING_PHASES
from farthing.units import parse_amount, parse_time


def measurements(snapshot: Snapshot) -> tuple[Measurement, ...]:
    """One a train attempt that measured anything, oldest first: settled ones from their bill, running ones from their report.

    Running attempts are left out until they have settled, so that the questions to the planner stay the same meanwhile.
    """
    attempts = (attempt for view in snapshot.jobs for attempt in view.attempts)
    found = (_of_record(attempt) for attempt in attempts if not attempt.open)
    return tuple(each for each in found if each is not None)


def _of_record(attempt: Attempt) -> Measurement | None:
    record, plan = attempt.record, plan_of(attempt.record)
    status = record.status
    if plan is None or record.spec.stage != "Train" or status.tokens_per_second is None:
        return None
    return Measurement(
        pool=record.spec.pool,
        accelerator=record.spec.accelerator,
        strategy=plan.strategy.signature,
        accelerators=plan.allocation.accelerators,
        tokens_per_second=_number(status.tokens_per_second),
        peak_memory_bytes=_number(status.peak_memory),
        startup_seconds=_startup(attempt),
        checkpoint_seconds=_number(status.checkpoint_seconds),
    )


def measured(progress: Progress | None) -> dict[str, float]:
    """Measured values by the name of the prediction that they stand beside, as far as the report has them."""
    if progress is None:
        return {}
    values = {
        "memory": None if progress.memory is None else progress.memory.peak,
        "tokensPerSecond": progress.tokens_per_second,
        "stepSeconds": progress.step_seconds,
        "checkpointSeconds": None if progress.checkpoint is None else progress.checkpoint.seconds,
        "startupSeconds": progress.seconds.startup or None,
        "loss": progress.validation_loss,
        "tokens": progress.tokens or None,
        "flops": progress.flops or None,
    }
    return {name: float(value) for name, value in values.items() if value is not None}


def measured_in_all(view: JobView, plan: Plan) -> dict[str, float]:
    """What the settled train attempts of a job came to, by the name of the prediction; per-step values from the newest one."""
    settled = [each for each in view.attempts if not each.open and each.record.spec.stage == "Train"]
    if not settled or plan_of(settled[-1].record) != plan:
        return {}
    newest = settled[-1].record.status
    charged = [each.record.status.charged.as_decimals() for each in settled if each.record.status.charged is not None]
    values = {
        "memory": _number(newest.peak_memory),
        "tokensPerSecond": _number(newest.tokens_per_second),
        "startupSeconds": _startup(settled[-1]),
        "checkpointSeconds": _number(newest.checkpoint_seconds),
        "loss": _number(newest.validation_loss),
        "tokens": _number(newest.lineage_tokens),
        "cost": float(sum(each[Axis.COST] for each in charged if Axis.COST in each)) or None,
        "seconds": float(sum(interval.seconds for each in settled for interval in each.record.status.intervals)) or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def startup_seconds(view: JobView) -> float | None:
    """Bound to first step, of the newest train attempt that made one; prepare starts without torch and says nothing."""
    for attempt in reversed(view.attempts):
        if attempt.record.spec.stage == "Train" and (seconds := _startup(attempt) or _running_startup(attempt)) is not None:
            return seconds
    return None


def _running_startup(attempt: Attempt) -> float | None:
    """The same of an attempt that still runs: from its first bind to its trainer's first step, as its report has it."""
    bound, progress = attempt.first_bound_at, attempt.progress
    if bound is None or progress is None or progress.phase in STARTING_PHASES:
        return None
    return max(0.0, (parse_time(progress.started) - bound).total_seconds()) + progress.seconds.startup


def _startup(attempt: Attempt) -> float | None:
    status = attempt.record.status
    if status.started_at is None or status.ready_at is None:
        return None
    return (parse_time(status.ready_at) - parse_time(status.started_at)).total_seconds()


def _number(text: str | None) -> float | None:
    return None if text is None else float(parse_amount(text))
