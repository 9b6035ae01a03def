"""A job as it stands after the actions of this cycle: what its status is built from."""

from dataclasses import dataclass
from datetime import datetime

from farthing.api.conditions import Reason
from farthing.api.job_status import (
    BudgetedTrainingJobStatus,
)
from farthing.contract.progress import Progress
from farthing.domain.decision import Because
from farthing.domain.snapshot import Attempt, JobView
from farthing.engine.act import Carried
from farthing.engine.lifecycle import State
from farthing.engine.planning import Intent
from farthing.engine.situations import Ending, state_of
from farthing.engine.standing import Standing, ending_of, refused, standing
from farthing.ledger.report import newest_report


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


def scene_of(carried: Carried, now: datetime) -> Scene:
    """The scene of one job. Orphans have none."""
    case, view = carried.decision.case, carried.view
    assert case is not None, "orphans have no status"
    assert view is not None
    books = standing(view, now)
    ending = None if view.open_attempt is not None else ending_of(view, books, case.intent.exhausted)
    problem = carried.refusal or case.intent.problem or _of_reason(case.intent.waiting, Reason.REFUSED)
    if ending is None and problem is None:
        problem = case.intent.exhausted
    state = state_of(view, ending, problem)
    stalled = problem if state is State.INVALID or carried.refusal is not None else _cut_off(view) or _without_pods(view)
    return Scene(carried, view, case.intent, books, ending, state, stalled, now)


def _cut_off(view: JobView) -> Because | None:
    """A start that the API server refused half way stays stalled until its Job stands."""
    attempt, refusal = view.open_attempt, refused(view)
    half = attempt is not None and attempt.job is None and not attempt.pods
    return Because(Reason.REFUSED, refusal[1]) if half and refusal is not None else None


def _without_pods(view: JobView) -> Because | None:
    """A gang whose pods the API server refuses: its Job tries again by itself until startupTimeout, then the next attempt."""
    attempt = view.open_attempt
    if attempt is None or attempt.pods_refused is None:
        return None
    mend = "the pods are made as soon as what it names (a quota, a limit range, a service account …) is mended"
    return Because(Reason.REFUSED, f"Job {attempt.name} cannot make its pods: {attempt.pods_refused}; {mend}")


def _of_reason(because: Because | None, reason: Reason) -> Because | None:
    return because if because is not None and because.reason == reason else None


def landing(scene: Scene) -> bool:
    """Whether the learning rate decays to its end."""
    return scene.progress is not None and scene.progress.phase == "Landing"
