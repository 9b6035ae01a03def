"""The whole status of a job, built anew from what is seen; fast numbers alone change it only now and then."""

from datetime import datetime
from decimal import Decimal

from farthing.api.amounts import amounts
from farthing.api.job_status import (
    BudgetedTrainingJobStatus,
    PlanStatus,
)
from farthing.engine.act import Carried
from farthing.engine.conditions import Picture, conditions
from farthing.engine.journal import appended, new_entries
from farthing.engine.lifecycle import State
from farthing.engine.plan_status import allocation_status
from farthing.engine.scene import Scene, landing, scene_of
from farthing.engine.scheduling import allocation_of
from farthing.engine.status_fields import (
    attempt_status,
    checkpoint_status,
    completion_time,
    current_plan,
    final_uri,
    prepared_status,
    progress_status,
    request_status,
    spent_now,
    start_time,
)
from farthing.engine.texts import accelerators_text, amounts_text, progress_text
from farthing.ledger.forecast import budget_at_risk
from farthing.settings import Settings
from farthing.units import parse_time

SHOWN_ATTEMPTS = 5


def job_status(carried: Carried, now: datetime, settings: Settings) -> BudgetedTrainingJobStatus:
    """What the job's status should be. Fast numbers alone change it at most every `progress_throttle` seconds."""
    scene = scene_of(carried, now)
    fresh = _status(scene)
    return fresh if _worth_writing(fresh, scene.previous, now, settings) else scene.previous


def _status(scene: Scene) -> BudgetedTrainingJobStatus:
    previous, request = scene.previous, request_status(scene)
    entries = new_entries(
        scene.carried.done,
        scene.carried.refusal,
        scene.ending,
        scene.view.job.status.request,
        scene.view.attempts,
        previous,
        scene.now,
    )
    spent = spent_now(scene)
    limits = scene.view.job.spec.budget.limits.as_decimals()
    left = {axis: max(Decimal(0), limit - spent.get(axis, Decimal(0))) for axis, limit in limits.items()}
    currency = scene.view.job.spec.budget.currency
    plan = current_plan(scene)
    return BudgetedTrainingJobStatus(
        observed_generation=scene.view.job.metadata.generation or None,
        state=_shown_state(scene),
        conditions=conditions(_picture(scene, plan), previous.conditions, scene.view.job.metadata.generation, scene.now),
        plan=plan,
        allocation=None if scene.attempt is None else allocation_status(allocation_of(scene.attempt)),
        attempts=[attempt_status(each) for each in scene.view.attempts[-SHOWN_ATTEMPTS:]],
        holds=previous.holds,
        spent=amounts(spent),
        remaining=amounts(left),
        progress=progress_status(scene),
        checkpoint=checkpoint_status(scene),
        prepared=prepared_status(scene),
        request=request,
        decisions=appended(previous.decisions, entries),
        output_uri=final_uri(scene),
        start_time=previous.start_time or start_time(scene),
        completion_time=completion_time(scene),
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
        return "Landing" if landing(scene) else "Running"
    return scene.state


def _picture(scene: Scene, plan: PlanStatus | None) -> Picture:
    attempt = scene.attempt
    return Picture(
        state=scene.state,
        attempt=attempt,
        ending=scene.ending,
        stalled=scene.stalled,
        waiting=scene.carried.decision.waiting if attempt is None else None,
        suspended_by=scene.view.suspended_by,
        planned=scene.intent.plans is not None or (plan is not None and scene.stalled is None),
        checkpointed=checkpoint_status(scene) is not None,
        landing=landing(scene),
        risk=None if attempt is None else budget_at_risk(attempt, scene.now),
    )
