"""How long an attempt held its accelerators, from what Kubernetes says of its pods and its Job (DESIGN 4, "Evidence").

`start` is the earliest of PodScheduled and pod startTime; `end` the latest container's finishedAt + 1 s. Where evidence is
missing the next weaker witness is asked, always towards *longer*, and the result says so. What is billed never exceeds what
was held: a job's bill ends at its hard end, whatever the evidence; seconds beyond it are the pool's, and are reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from farthing.domain.snapshot import Attempt, JobFacts, PodFacts
from farthing.errors import Conflict
from farthing.units import parse_time

CLOCKS_AGREE: Final = timedelta(seconds=5)
"""Times of two machines that differ by more contradict each other (DESIGN 4)."""
ONE_SECOND: Final = timedelta(seconds=1)
LOST_REASONS: Final = frozenset({"Unknown", "ContainerStatusUnknown"})
"""Reasons of a container whose end nobody saw: its finishedAt is when the node came back (research/local_cluster.md)."""
LOST_EXIT_CODE: Final = 255
POD_FAILED_REASONS: Final = frozenset({"PodFailurePolicy", "BackoffLimitExceeded"})
"""Reasons of a failed Job that only a pod's failure can give: a Job can miss its deadline without ever having had a pod."""


@dataclass(frozen=True, slots=True)
class HeldTime:
    """Whole seconds from `start` to `end` (both whole-second times in UTC); `estimated`: an upper bound, `why` says whence.

    `overrun_seconds`: how long past its hard end the attempt was seen alive; borne by the pool, not by the job.
    """

    start: datetime
    end: datetime
    estimated: bool
    why: str
    overrun_seconds: int = 0

    @property
    def seconds(self) -> int:
        """Seconds billed to the job."""
        return round((self.end - self.start).total_seconds())


@dataclass(frozen=True, slots=True)
class _Witness:
    time: datetime
    estimated: bool
    why: str


def held_time(attempt: Attempt, now: datetime) -> HeldTime:
    """The held time of an attempt, up to `now` (the operator's clock) where it still runs.

    Zero seconds where no pod was ever bound. At most the record's hard end: `overrun_seconds` counts what lies past it.
    """
    start = _start(attempt, now)
    if start is None:
        opened = _floor(parse_time(attempt.record.spec.opened_at))
        return HeldTime(opened, opened, False, "no pod was ever bound: nothing was held")
    hard_end = start.time + timedelta(seconds=attempt.record.spec.ends.hard)
    end = _doubt(attempt, start, _end(attempt, hard_end, now), now)
    billed = min(end.time, hard_end)
    why = end.why if end.time <= hard_end else f"{end.why}; the bill ends at the hard end"
    overrun = round((end.time - billed).total_seconds())
    return HeldTime(start.time, billed, start.estimated or end.estimated, _both(start.why, why), overrun)


def check(attempt: Attempt, *, job_stands: bool, pods: Sequence[PodFacts], missed_deletion: bool = False) -> None:
    """Raises Conflict unless the attempt is as new as what the API server says of its Job and pods at this moment.

    A bill is settled once: not on a cache that missed a pod, or its end, or (`missed_deletion`) that the training job was
    deleted, which is why its pods ended. Pods that are gone since they were seen are no reason.
    """
    if missed_deletion:
        raise Conflict(f"the bill of {attempt.name}: the cache is behind on the deletion of its training job")
    known = {pod.uid: (pod.terminal, pod.finished_at) for pod in attempt.pods}
    news = [pod.name for pod in pods if known.get(pod.uid) != (pod.terminal, pod.finished_at)]
    if news or (job_stands and attempt.job is None):
        raise Conflict(f"the bill of {attempt.name}: the cache is behind on {', '.join(news) or 'its Job'}")


def ever_bound(attempt: Attempt) -> bool:
    """Whether anything shows that a pod of this attempt was bound to a node: only then something was held."""
    return bool(_bind_times(attempt)) or _ran_unseen(attempt)


def container_ran(pod: PodFacts) -> bool:
    """Whether a container of the pod ran, or may have: one whose image never came has an exit code but no times."""
    return pod.finished_at is not None or (pod.phase == "Running" and pod.exit_code is None) or lost_with_node(pod)


def lost_with_node(pod: PodFacts) -> bool:
    """Whether the pod was given up because its node is gone: no kubelet ever told what became of its containers."""
    told = pod.finished_at is not None or pod.exit_code is not None or pod.waiting_reason is not None
    return pod.terminal and pod.disrupted and pod.node is not None and not told


def _start(attempt: Attempt, now: datetime) -> _Witness | None:
    times = _bind_times(attempt)
    if not times:
        return _unseen_start(attempt) if _ran_unseen(attempt) else None
    earliest = _floor(min(times))
    seen_alive = min([now] + ([attempt.progress_at] if attempt.progress_at else []))
    if earliest > seen_alive + CLOCKS_AGREE:
        return _Witness(_floor(seen_alive), True, "the bind lies after the operator saw it: clocks disagree")
    if earliest < parse_time(attempt.record.spec.opened_at) - CLOCKS_AGREE:
        return _Witness(earliest, True, "the bind lies before the record was opened: clocks disagree")
    return _Witness(earliest, False, "")


def _bind_times(attempt: Attempt) -> list[datetime]:
    times = [time for pod in attempt.pods for time in (pod.bound_at, pod.started_at) if time is not None]
    noted = attempt.record.status.started_at
    return [*times, parse_time(noted)] if noted else times


def _ran_unseen(attempt: Attempt) -> bool:
    """Whether it ran although no pod is left to say when: the trainer spoke, or its Job ended as only pods can end one."""
    job = attempt.job
    spoke = attempt.progress is not None or attempt.progress_at is not None
    return spoke or (job is not None and (job.complete or job.failed_reason in POD_FAILED_REASONS))


def _unseen_start(attempt: Attempt) -> _Witness:
    """No pod left: the Job's start, which lies before any bind; no Job left: when the record was opened."""
    if attempt.job is not None and attempt.job.started_at is not None:
        return _Witness(_floor(attempt.job.started_at), True, "no pod is left: from the Job's start")
    return _Witness(_floor(parse_time(attempt.record.spec.opened_at)), True, "no Job is left: from the opening of the record")


def _end(attempt: Attempt, hard_end: datetime, now: datetime) -> _Witness:
    """The latest of every bound pod's end, and of the Job's where not every pod is there to say."""
    bound = [pod for pod in attempt.pods if pod.bound_at is not None or pod.started_at is not None]
    witnesses = [_pod_end(pod, attempt, hard_end, now) for pod in bound]
    if not bound or len(attempt.pods) < attempt.record.spec.pods:
        witnesses.append(_job_end(attempt.job, hard_end, now, "not every pod is left"))
    return max(witnesses, key=lambda witness: (witness.time, not witness.estimated))


def _pod_end(pod: PodFacts, attempt: Attempt, hard_end: datetime, now: datetime) -> _Witness:
    if not pod.terminal:
        unreachable = pod.node in attempt.unreachable_nodes
        why = f"node {pod.node} is unreachable: billed up to the hard end" if unreachable else f"pod {pod.name} runs"
        return _Witness(_ceil(now), unreachable or now > hard_end, why)
    if pod.finished_at is not None:
        lost = pod.exit_code == LOST_EXIT_CODE or pod.container_reason in LOST_REASONS
        why = f"pod {pod.name} was lost: until its node reported back" if lost else f"pod {pod.name} finished"
        return _Witness(_floor(pod.finished_at) + ONE_SECOND, lost, why)
    if pod.terminal_at is not None and lost_with_node(pod):
        return _Witness(_ceil(pod.terminal_at), True, f"pod {pod.name} was lost with its node: until it was given up")
    if pod.terminal_at is not None:
        return _Witness(_ceil(pod.terminal_at), False, f"no container of pod {pod.name} started: until it was terminal")
    if pod.deleted_at is not None:
        return _Witness(_ceil(pod.deleted_at), True, f"no container of pod {pod.name} started: until it was deleted")
    return _job_end(attempt.job, hard_end, now, f"pod {pod.name} has no times")


def _job_end(job: JobFacts | None, hard_end: datetime, now: datetime, cause: str) -> _Witness:
    if job is None:
        return _Witness(hard_end, True, f"{cause} and no Job is: until the hard end")
    if job.finished_at is not None:
        return _Witness(_ceil(job.finished_at), True, f"{cause}: until the Job's final transition")
    return _Witness(_ceil(now), True, f"{cause}: the Job has not ended")


def _doubt(attempt: Attempt, start: _Witness, end: _Witness, now: datetime) -> _Witness:
    """The end, checked against the operator's own clock and the start: where they contradict each other, the later one."""
    if attempt.progress_at is not None and attempt.progress_at > end.time + CLOCKS_AGREE:
        end = _Witness(_ceil(attempt.progress_at), True, f"{end.why}, but the trainer answered after that: clocks disagree")
    elif end.time > now + CLOCKS_AGREE and not end.estimated:
        end = _Witness(end.time, True, f"{end.why}, which lies ahead of the operator's clock")
    if end.time < start.time:
        return _Witness(start.time, True, f"{end.why}, before it started: clocks disagree")
    return end


def _both(first: str, second: str) -> str:
    return f"{first}; {second}" if first else second


def _floor(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _ceil(moment: datetime) -> datetime:
    return _floor(moment) + timedelta(seconds=ceil(moment.microsecond / 1e6))
