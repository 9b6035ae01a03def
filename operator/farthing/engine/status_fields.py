"""The members of a job's status, one function each; what nothing tells any more is kept from the last one."""

from decimal import Decimal

from farthing.api.amounts import Axis
from farthing.api.job_status import (
    AttemptStatus,
    CheckpointStatus,
    PlanStatus,
    PreparedStatus,
    ProgressStatus,
    RequestStatus,
)
from farthing.contract.progress import CheckpointReport
from farthing.domain.plan import Plan
from farthing.domain.snapshot import Attempt
from farthing.engine.lifecycle import State
from farthing.engine.measure import measured, measured_in_all
from farthing.engine.opening import plan_of
from farthing.engine.plan_status import plan_status
from farthing.engine.runconfig import output_uri
from farthing.engine.scene import Scene
from farthing.engine.situations import acknowledged
from farthing.ledger.balance import spent_so_far
from farthing.ledger.report import newest_report
from farthing.units import format_bytes, format_duration, format_time, parse_time


def current_plan(scene: Scene) -> PlanStatus | None:
    """The plan of the open attempt, else the one that would be taken, else the last one."""
    plan, plans = _chosen(scene), scene.intent.plans
    if plan is None:
        return scene.previous.plan
    own = measured(scene.progress)
    return plan_status(
        plan,
        plans,
        scene.previous.plan,
        measured={**measured_in_all(scene.view, plan), **own},
        memory_step=scene.books.memory_steps if scene.attempt is None else scene.attempt.record.spec.memory_step,
        global_batch=scene.view.job.spec.training.global_batch_size,
    )


def _chosen(scene: Scene) -> Plan | None:
    if scene.attempt is not None:
        return plan_of(scene.attempt.record)
    if scene.intent.plans is not None and scene.intent.plans.best is not None:
        return scene.intent.plans.best
    trained = (plan_of(each.record) for each in reversed(scene.view.attempts) if each.record.spec.stage == "Train")
    return next((plan for plan in trained if plan is not None), None)


def attempt_status(attempt: Attempt) -> AttemptStatus:
    """One attempt, as its record tells it; a running one as its pods do."""
    record, bound = attempt.record, attempt.first_bound_at
    status, report = record.status, newest_report(attempt).progress
    return AttemptStatus(
        name=attempt.name,
        number=record.spec.number,
        stage=record.spec.stage,
        phase=status.phase,
        start_time=status.started_at or (None if bound is None else format_time(bound)),
        end_time=status.ended_at,
        outcome=status.outcome,
        first_step=status.first_step if report is None else report.first_step,
        last_step=status.last_step,
        cost=None if status.charged is None else status.charged.cost,
    )


def spent_now(scene: Scene) -> dict[Axis, Decimal]:
    """What is settled, and at the least what the open attempt has spent so far; tokens are those of the lineage."""
    spent = dict(scene.books.balance.spent)
    if scene.attempt is None:
        return spent
    for axis, amount in spent_so_far(scene.attempt, scene.now).lower.items():
        if axis is not Axis.TOKENS:
            spent[axis] = spent.get(axis, Decimal(0)) + amount
    if scene.progress is not None and scene.attempt.record.spec.stage == "Train":
        spent[Axis.TOKENS] = Decimal(scene.progress.tokens)
    return spent


def progress_status(scene: Scene) -> ProgressStatus | None:
    """The trainer's report; between attempts the last one, without what only a running attempt has.

    While an attempt is silent (still starting, unreachable) its last report is written anew: `time` paces what is spent.
    """
    report = scene.progress
    if report is None:
        last = scene.previous.progress
        if scene.attempt is not None:
            return (last or ProgressStatus(phase="Starting")).model_copy(update={"time": format_time(scene.now)})
        return last and last.model_copy(update={"eta": None, "tokens_per_second": None, "memory": None})
    eta = report.eta_seconds
    return ProgressStatus(
        phase=report.phase,
        step=report.step,
        last_step=report.last_step,
        tokens=str(report.tokens),
        loss=_number(report.loss),
        validation_loss=_number(report.validation_loss),
        bits_per_byte=_number(report.validation_bits_per_byte),
        tokens_per_second=_number(report.tokens_per_second),
        memory=None if report.memory is None else format_bytes(report.memory.peak),
        eta=None if eta is None else format_duration(eta),
        time=format_time(scene.now),
    )


def checkpoint_status(scene: Scene) -> CheckpointStatus | None:
    """The newest durable one: of this attempt, or remembered."""
    before = _before_actions(scene)
    report = scene.progress or (newest_report(before).progress if before is not None else None)
    newest, known = None if report is None else report.checkpoint, scene.previous.checkpoint
    if newest is None or (known is not None and _is_older(newest, known)):
        return known
    return CheckpointStatus(
        step=newest.step,
        tokens=str(newest.tokens),
        uri=newest.uri,
        digest=newest.digest,
        time=newest.time,
        seconds=f"{newest.seconds:.3g}",
    )


def _is_older(found: CheckpointReport, known: CheckpointStatus) -> bool:
    """Whether a report tells of a checkpoint before the known one: a cache lags behind. After a rollback the step is lower, and
    the time is not."""
    return found.step < known.step and parse_time(found.time) < parse_time(known.time)


def _before_actions(scene: Scene) -> Attempt | None:
    """The attempt that was open when the cycle began: settled now, its last word is still at hand."""
    return scene.carried.decision.attempt


def prepared_status(scene: Scene) -> PreparedStatus | None:
    """The product of the prepare stage that is used."""
    record = scene.books.prepared
    if record is None or record.status.prepared_digest is None:
        return scene.previous.prepared
    return PreparedStatus(
        digest=record.status.prepared_digest, tokens=record.status.prepared_tokens or 0, attempt=record.spec.attempt
    )


def request_status(scene: Scene) -> RequestStatus | None:
    """The request under way, with an acknowledgement that the trainer's report tells; gone with its attempt."""
    request, attempt = scene.view.job.status.request, scene.attempt
    if request is None or attempt is None or request.attempt != attempt.name:
        return None
    report = scene.progress
    if (
        request.acknowledged_step is None
        and acknowledged(attempt, request)
        and report is not None
        and report.answer is not None
    ):
        return request.model_copy(
            update={"acknowledged_step": report.answer.step or report.step, "digest": report.answer.digest}
        )
    return request


def final_uri(scene: Scene) -> str | None:
    """Where the finished model is, once it is."""
    return output_uri(scene.view.job) if scene.state is State.COMPLETE else scene.previous.output_uri


def start_time(scene: Scene) -> str | None:
    """The first bind of any attempt."""
    starts = (attempt_status(each).start_time for each in scene.view.attempts)
    return min((start for start in starts if start is not None), default=None)


def completion_time(scene: Scene) -> str | None:
    """Set once with Complete or Failed; gone again when a raised limit lets the job go on."""
    if scene.state not in (State.COMPLETE, State.FAILED):
        return None
    return scene.previous.completion_time or format_time(scene.now)


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"
