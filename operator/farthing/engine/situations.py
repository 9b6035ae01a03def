"""What is seen of one job: its state and its observations, derived anew from every snapshot.

The spend records and what is left of their children decide; the stored phase is never asked. Pure functions of a view and the
time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from farthing.api.job import RequestStatus
from farthing.contract.names import MANAGED_BY
from farthing.domain.decision import Because
from farthing.domain.snapshot import Attempt, JobView
from farthing.engine.lifecycle import Observation, State
from farthing.ledger.quotes import hard_end_second
from farthing.settings import Settings
from farthing.units import parse_time

PATIENCE: Final = timedelta(seconds=30)
"""A Job that was just created may not be in the watch caches yet: its absence is believed only after this long."""


@dataclass(frozen=True, slots=True)
class Ending:
    """A job that wants no further attempt: COMPLETE or FAILED, and why."""

    state: State
    because: Because


def state_of(view: JobView, ending: Ending | None, problem: Because | None) -> State:
    """Where the job stands. `ending` and `problem` come from `engine.standing` and are looked at only while nothing runs."""
    if not managed(view):
        return State.NOT_MANAGED
    if view.job.metadata.deletion_timestamp is not None:
        return State.DELETED
    attempt = view.open_attempt
    if attempt is not None:
        return attempt_state(attempt, stop_request(view, attempt))
    if ending is not None:
        return ending.state
    if view.suspended:
        return State.SUSPENDED
    if problem is not None:
        return State.INVALID
    return State.NEW if view.job.status.observed_generation is None else State.QUEUED


def managed(view: JobView) -> bool:
    """Whether the job is this operator's."""
    return view.job.spec.managed_by in (None, MANAGED_BY)


def attempt_state(attempt: Attempt, request: RequestStatus | None) -> State:
    """The state of a job whose newest bill is open."""
    if over(attempt):
        return State.ENDING
    if not attempt.pods and (attempt.job is None or attempt.job.suspended):
        return State.OPENED
    job = attempt.job
    leaving = job is None or job.complete or job.failed or job.deleting or job.suspended
    if leaving or request is not None or any(pod.terminal for pod in attempt.pods):
        return State.STOPPING
    return State.RUNNING if all_ready(attempt) or _underway(attempt) else State.STARTING


def _underway(attempt: Attempt) -> bool:
    """Whether its trainer got past loading: a gang that loses readiness later, by a dead kubelet or at its end, has started."""
    return attempt.progress is not None and attempt.progress.phase not in ("Starting", "Loading")


def over(attempt: Attempt) -> bool:
    """Whether no container of it runs or can start any more.

    Without a Job, or with one that is being deleted or was suspended after it had run, the pods alone say so; an attempt that
    never had any pod is over only when its Job says so.
    """
    job, terminal = attempt.job, all(pod.terminal for pod in attempt.pods)
    if job is not None and (job.complete or job.failed):
        return terminal
    return bool(attempt.pods) and terminal and (job is None or job.suspended or job.deleting)


def all_ready(attempt: Attempt) -> bool:
    """Whether the whole gang is there and ready."""
    return len(attempt.pods) >= attempt.record.spec.pods and all(pod.ready for pod in attempt.pods)


def all_bound(attempt: Attempt) -> bool:
    """Whether every pod of the gang has a node."""
    return len(attempt.pods) >= attempt.record.spec.pods and all(
        pod.bound_at is not None or pod.started_at is not None for pod in attempt.pods
    )


def stop_request(view: JobView, attempt: Attempt) -> RequestStatus | None:
    """The stop that was asked of this attempt, if any."""
    request = view.job.status.request
    return request if request is not None and request.attempt == attempt.name and request.then == "Stop" else None


def acknowledged(attempt: Attempt, request: RequestStatus | None) -> bool:
    """Whether the stop's checkpoint is durable: said in the status, in the progress or in the last word."""
    if request is None:
        return False
    if request.acknowledged_step is not None:
        return True
    word = attempt.last_word
    reports = (attempt.progress, word.progress if word else None)
    answers = (report.answer for report in reports if report is not None)
    return any(each is not None and each.id == request.id and each.state == "Acknowledged" for each in answers)


def startup_deadline(attempt: Attempt) -> datetime:
    """When startupTimeout has passed: from the Job's start, before that from the opening."""
    begun = attempt.job.started_at if attempt.job is not None else None
    timeout = timedelta(seconds=attempt.record.spec.ends.startup_timeout)
    return (begun or parse_time(attempt.record.spec.opened_at)) + timeout


def attempt_observations(
    view: JobView, attempt: Attempt, state: State, settings: Settings, now: datetime
) -> Iterator[Observation]:
    """What is seen of a job's open attempt, in any order; the policy's word is added by `engine.decide`."""
    unwanted = view.suspended or view.job.metadata.deletion_timestamp is not None or state is State.NOT_MANAGED
    request = stop_request(view, attempt)
    yield from common_observations(attempt, settings, now, unwanted=unwanted)
    yield from _request_observations(attempt, request, settings, now)
    if not all_ready(attempt) and not _underway(attempt) and now >= startup_deadline(attempt):
        yield Observation.LATE
    if view.job.metadata.deletion_timestamp is not None:
        yield Observation.DELETE_WANTED
    if view.suspended:
        yield Observation.SUSPEND_WANTED
    if attempt.job is None and attempt.pods and request is None:
        yield Observation.JOB_GONE
    if attempt.job is None and not attempt.pods:
        yield Observation.OVER if ran_before(view, attempt) else Observation.HALF_MADE


def orphan_observations(attempt: Attempt, settings: Settings, now: datetime) -> Iterator[Observation]:
    """What is seen of an attempt whose job is gone."""
    if not attempt.open:
        if leftovers(attempt):
            yield Observation.LEFTOVERS
        return
    yield from common_observations(attempt, settings, now, unwanted=True)
    yield Observation.DELETE_WANTED


def common_observations(attempt: Attempt, settings: Settings, now: datetime, *, unwanted: bool) -> Iterator[Observation]:
    """Whether the bill of an open attempt can be closed."""
    if over(attempt) or _never_to_start(attempt, now, unwanted=unwanted):
        yield Observation.OVER
    if _hard_end_passed(attempt, settings, now):
        yield Observation.HARD_END_PASSED


def ran_before(view: JobView, attempt: Attempt) -> bool:
    """Whether a pod of it was seen bound, though nothing of it is left: such an attempt is never made a second time."""
    return any(each.name == attempt.name and each.start_time is not None for each in view.job.status.attempts)


def leftovers(attempt: Attempt) -> bool:
    """Whether anything of a settled attempt still stands."""
    return attempt.job is not None or bool(attempt.children) or any(pod.held or pod.left_behind for pod in attempt.pods)


def _never_to_start(attempt: Attempt, now: datetime, *, unwanted: bool) -> bool:
    """A start that was cut off, and that nobody wants any more or that took too long.

    "Too long" counts from the opening; nothing of it was ever seen, so nothing is billed.
    """
    if attempt.pods or (attempt.job is not None and not attempt.job.suspended):
        return False
    opened = parse_time(attempt.record.spec.opened_at)
    return (unwanted and now >= opened + PATIENCE) or now >= startup_deadline(attempt)


def _hard_end_passed(attempt: Attempt, settings: Settings, now: datetime) -> bool:
    """Past the hard end in force by the margin within which its node would have reported an end."""
    bound = attempt.first_bound_at
    if bound is None:
        return False
    hard = timedelta(seconds=hard_end_second(attempt.record, bound) + settings.attempt.grace_margin)
    return now >= bound + hard


def _request_observations(
    attempt: Attempt, request: RequestStatus | None, settings: Settings, now: datetime
) -> Iterator[Observation]:
    if request is None:
        return
    if acknowledged(attempt, request):
        yield Observation.ACKNOWLEDGED
    elif _unanswered(attempt, request, settings, now):
        yield Observation.UNANSWERED
    elif not _heard(attempt, request):
        yield Observation.ASKED


def _heard(attempt: Attempt, request: RequestStatus) -> bool:
    """Whether the trainer's report says that it is at work on the request: asking again would tell nothing new."""
    answer = attempt.progress.answer if attempt.progress is not None else None
    return answer is not None and answer.id == request.id and answer.state == "Accepted"


def _unanswered(attempt: Attempt, request: RequestStatus, settings: Settings, now: datetime) -> bool:
    """Prepare is resumable and keeps no steps; before the first report there is nothing to save and nobody to ask."""
    if attempt.record.spec.stage == "Prepare" or (attempt.progress is None and attempt.progress_at is None):
        return True
    return request.failures >= settings.handshake.failed_posts or now >= parse_time(request.deadline)
