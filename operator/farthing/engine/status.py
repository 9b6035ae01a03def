"""The whole status of a job, built anew from what is seen; what nothing tells any more is kept from the last one."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from farthing.api.amounts import Axis, amounts
from farthing.api.conditions import Reason
from farthing.api.job_status import (
    AttemptStatus,
    BudgetedTrainingJobStatus,
    CheckpointStatus,
    PlanStatus,
    PreparedStatus,
    ProgressStatus,
    RequestStatus,
)
from farthing.contract.progress import Progress
from farthing.domain.decision import Because
from farthing.domain.plan import Plan
from farthing.domain.snapshot import Attempt, JobView
from farthing.engine.act import Carried
from farthing.engine.conditions import Picture, conditions
from farthing.engine.journal import appended, new_entries
from farthing.engine.lifecycle import State
from farthing.engine.measure import measured, measured_in_all
from farthing.engine.opening import plan_of
from farthing.engine.plan_status import allocation_status, plan_status
from farthing.engine.planning import Intent
from farthing.engine.runconfig import output_uri
from farthing.engine.scheduling import allocation_of
from farthing.engine.situations import Ending, acknowledged, state_of
from farthing.engine.standing import Standing, ending_of, refused, standing
from farthing.engine.texts import accelerators_text, amounts_text, progress_text
from farthing.ledger.balance import spent_so_far
from farthing.ledger.forecast import budget_at_risk
from farthing.ledger.report import newest_report
from farthing.settings import Settings
from farthing.units import format_bytes, format_duration, format_time, parse_time

SHOWN_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Scene:
    """The job as it stands after the actions of this cycle."""

    carried: Carried
    view: JobView
    intent: Intent
    books: Standing
    ending: Ending | None
    state: State
    stalled: Because | None
    now: datetime

    @property
    def previous(self) -> BudgetedTrainingJobStatus:
        """The status that stands in the cluster."""
        assert self.carried.decision.case is not None
        return self.carried.decision.case.view.job.status

    @property
    def attempt(self) -> Attempt | None:
        """The attempt whose bill is open."""
        return self.view.open_attempt

    @property
    def progress(self) -> Progress | None:
        """The newest report of the open attempt."""
        return None if self.attempt is None else newest_report(self.attempt).progress


def job_status(carried: Carried, now: datetime, settings: Settings) -> BudgetedTrainingJobStatus:
    """What the job's status should be. Fast numbers alone change it at most every `progress_throttle` seconds."""
    scene = _scene(carried, now)
    fresh = _status(scene)
    return fresh if _worth_writing(fresh, scene.previous, now, settings) else scene.previous


def _scene(carried: Carried, now: datetime) -> Scene:
    case, view = carried.decision.case, carried.view
    assert case is not None, "orphans have no status"
    assert view is not None
    books = standing(view, now)
    ending = None if view.open_attempt is not None else ending_of(view, books, case.intent.exhausted)
    problem = carried.refusal or case.intent.problem or _of_reason(case.intent.waiting, Reason.REFUSED)
    if ending is None and problem is None:
        problem = case.intent.exhausted
    state = state_of(view, ending, problem)
    stalled = problem if state is State.INVALID or carried.refusal is not None else _cut_off(view)
    return Scene(carried, view, case.intent, books, ending, state, stalled, now)


def _cut_off(view: JobView) -> Because | None:
    """A start that the API server refused half way stays stalled until its Job stands."""
    attempt, refusal = view.open_attempt, refused(view)
    half = attempt is not None and attempt.job is None and not attempt.pods
    return Because(Reason.REFUSED, refusal[1]) if half and refusal is not None else None


def _of_reason(because: Because | None, reason: Reason) -> Because | None:
    return because if because is not None and because.reason == reason else None


def _status(scene: Scene) -> BudgetedTrainingJobStatus:
    previous, request = scene.previous, _request(scene)
    entries = new_entries(
        scene.carried.done,
        scene.carried.refusal,
        scene.ending,
        scene.view.job.status.request,
        scene.view.attempts,
        previous,
        scene.now,
    )
    spent = _spent(scene)
    limits = scene.view.job.spec.budget.limits.as_decimals()
    left = {axis: max(Decimal(0), limit - spent.get(axis, Decimal(0))) for axis, limit in limits.items()}
    currency = scene.view.job.spec.budget.currency
    plan = _plan(scene)
    return BudgetedTrainingJobStatus(
        observed_generation=scene.view.job.metadata.generation or None,
        state=_shown_state(scene),
        conditions=conditions(_picture(scene, plan), previous.conditions, scene.view.job.metadata.generation, scene.now),
        plan=plan,
        allocation=None if scene.attempt is None else allocation_status(allocation_of(scene.attempt)),
        attempts=[_attempt_status(each) for each in scene.view.attempts[-SHOWN_ATTEMPTS:]],
        holds=previous.holds,
        spent=amounts(spent),
        remaining=amounts(left),
        progress=_progress(scene),
        checkpoint=_checkpoint(scene),
        prepared=_prepared(scene),
        request=request,
        decisions=appended(previous.decisions, entries),
        output_uri=_output_uri(scene),
        start_time=previous.start_time or _start_time(scene),
        completion_time=_completion_time(scene),
        spent_text=amounts_text(limits, spent, currency),
        budget_text=amounts_text(limits, limits, currency),
        progress_text=progress_text(scene.progress) if scene.progress is not None else previous.progress_text,
        accelerators_text=accelerators_text(scene.attempt),
    )


def _worth_writing(
    fresh: BudgetedTrainingJobStatus, previous: BudgetedTrainingJobStatus, now: datetime, settings: Settings
) -> bool:
    """Whether anything but a fast number changed, or the fast numbers are due."""
    if fresh == previous:
        return False
    fast = {
        "progress": previous.progress,
        "progress_text": previous.progress_text,
        "spent": previous.spent,
        "spent_text": previous.spent_text,
        "remaining": previous.remaining,
        "plan": previous.plan if _same_plan(fresh.plan, previous.plan) else fresh.plan,
    }
    if fresh.model_copy(update=fast) != previous:
        return True
    written = previous.progress.time if previous.progress is not None else None
    return written is None or (now - parse_time(written)).total_seconds() >= settings.cycle.progress_throttle


def _same_plan(fresh: PlanStatus | None, previous: PlanStatus | None) -> bool:
    """Whether two plans differ at most in what was measured."""
    if fresh is None or previous is None:
        return fresh is previous
    return fresh.model_copy(update={"predictions": {}}) == previous.model_copy(update={"predictions": {}})


def _shown_state(scene: Scene) -> str:
    """One word for people; the conditions are the truth."""
    if scene.stalled is not None:
        return "Stalled"
    if scene.state is State.RUNNING and scene.attempt is not None:
        if scene.attempt.record.spec.stage == "Prepare":
            return "Preparing"
        return "Landing" if _landing(scene) else "Running"
    return scene.state


def _picture(scene: Scene, plan: PlanStatus | None) -> Picture:
    attempt = scene.attempt
    return Picture(
        state=scene.state,
        attempt=attempt,
        ending=scene.ending,
        stalled=scene.stalled,
        waiting=scene.carried.decision.waiting if attempt is None else None,
        planned=scene.intent.plans is not None or (plan is not None and scene.stalled is None),
        checkpointed=_checkpoint(scene) is not None,
        landing=_landing(scene),
        risk=None if attempt is None else budget_at_risk(attempt, scene.now),
    )


def _landing(scene: Scene) -> bool:
    return scene.progress is not None and scene.progress.phase == "Landing"


def _plan(scene: Scene) -> PlanStatus | None:
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


def _attempt_status(attempt: Attempt) -> AttemptStatus:
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


def _spent(scene: Scene) -> dict[Axis, Decimal]:
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


def _progress(scene: Scene) -> ProgressStatus | None:
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


def _checkpoint(scene: Scene) -> CheckpointStatus | None:
    """The newest durable one: of this attempt, or remembered."""
    before = _before_actions(scene)
    report = scene.progress or (newest_report(before).progress if before is not None else None)
    newest = None if report is None else report.checkpoint
    if newest is None:
        return scene.previous.checkpoint
    return CheckpointStatus(
        step=newest.step,
        tokens=str(newest.tokens),
        uri=newest.uri,
        digest=newest.digest,
        time=newest.time,
        seconds=f"{newest.seconds:.3g}",
    )


def _before_actions(scene: Scene) -> Attempt | None:
    """The attempt that was open when the cycle began: settled now, its last word is still at hand."""
    return scene.carried.decision.attempt


def _prepared(scene: Scene) -> PreparedStatus | None:
    record = scene.books.prepared
    if record is None or record.status.prepared_digest is None:
        return scene.previous.prepared
    return PreparedStatus(
        digest=record.status.prepared_digest, tokens=record.status.prepared_tokens or 0, attempt=record.spec.attempt
    )


def _request(scene: Scene) -> RequestStatus | None:
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


def _output_uri(scene: Scene) -> str | None:
    return output_uri(scene.view.job) if scene.state is State.COMPLETE else scene.previous.output_uri


def _start_time(scene: Scene) -> str | None:
    """The first bind of any attempt."""
    starts = (_attempt_status(each).start_time for each in scene.view.attempts)
    return min((start for start in starts if start is not None), default=None)


def _completion_time(scene: Scene) -> str | None:
    """Set once with Complete or Failed; gone again when a raised limit lets the job go on."""
    if scene.state not in (State.COMPLETE, State.FAILED):
        return None
    return scene.previous.completion_time or format_time(scene.now)


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"
