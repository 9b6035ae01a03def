"""How an attempt ended: a total function of its pods, its Job and the trainer's own words (DESIGN 5).

The rules stand in `_RULES`, first match wins: what finished, then whose fault it was (64, 76, a crash), then a stop that a
checkpoint proves, then deadlines, then what others did to it. The exit code returned is the cause's, not its victims': a gang
whose member dies is killed by the Job controller, so that most of its pods say 143.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from farthing.contract.exit_codes import ExitCode
from farthing.contract.progress import LastWord, Progress
from farthing.domain.outcome import Outcome
from farthing.domain.snapshot import Attempt, PodFacts
from farthing.ledger.evidence import LOST_EXIT_CODE, LOST_REASONS, ONE_SECOND, container_ran, ever_bound

KILLED = 137
"""128 + SIGKILL: by itself it does not say who killed."""
DEADLINE_EXCEEDED = "DeadlineExceeded"
"""Reason of a failed Job, and status.reason of a pod, whose activeDeadlineSeconds passed."""
DISRUPTION_REASONS = frozenset({"Evicted", "NodeLost", "Preempting", "Terminated", "NodeShutdown", "Shutdown"})
"""status.reason of pods that their node gave up."""
DEADLINE_WORDS = frozenset({"LeaseEnded", "DeadlineExceeded"})
"""Reasons of a last word that left because its lease ended."""
BEFORE_TRAINING = frozenset({"Starting", "Loading"})
_WITHOUT_FAULT = frozenset({ExitCode.LANDED, ExitCode.TRY_AGAIN, ExitCode.STOPPED, KILLED})
_TORCHRUN_FAILURE = 1
"""Under torchrun every failure is 1: there the last word is the truth."""

Verdict = tuple[Outcome, str, int | None]


@dataclass(frozen=True, slots=True)
class _Case:
    """What the rules look at."""

    attempt: Attempt
    acknowledged: bool
    deleted: bool
    progress: Progress | None
    codes: dict[str, int] = field(default_factory=dict)
    """By pod, of containers that ran."""

    @property
    def word(self) -> LastWord | None:
        return self.attempt.last_word

    @property
    def stage_finished(self) -> Outcome:
        return Outcome.PREPARED if self.attempt.record.spec.stage == "Prepare" else Outcome.LANDED

    def pod_with(self, *codes: int) -> str | None:
        """The first pod that left with one of these codes."""
        return next((pod for pod, code in self.codes.items() if code in codes), None)

    @property
    def worst(self) -> int | None:
        """The largest exit code, where no rule names a cause."""
        return max(self.codes.values(), default=None)

    @property
    def trained(self) -> bool:
        """Whether the gang came together: the trainer is past rendezvous and loading."""
        return self.progress is not None and (self.progress.step > 0 or self.progress.phase not in BEFORE_TRAINING)

    @property
    def gang_incomplete(self) -> bool:
        """Whether some pod of the gang never ran a container; nothing is said where no pod is left at all."""
        ran = sum(map(container_ran, self.attempt.pods))
        return bool(self.attempt.pods) and ran < self.attempt.record.spec.pods

    @property
    def deadline_hit(self) -> bool:
        """Whether a deadline of the Job, of a pod or of the trainer itself ended it."""
        job, word = self.attempt.job, self.word
        return (
            (job is not None and job.failed_reason == DEADLINE_EXCEEDED)
            or any(pod.pod_reason == DEADLINE_EXCEEDED for pod in self.attempt.pods)
            or (word is not None and word.reason in DEADLINE_WORDS)
        )

    @property
    def disrupted(self) -> PodFacts | None:
        """A pod that was taken away: drained, evicted, or lost with its node."""
        return next((pod for pod in self.attempt.pods if _taken_away(pod, self.attempt)), None)


def classify(attempt: Attempt, *, acknowledged: bool, deleted: bool, progress: Progress | None) -> Verdict:
    """Outcome, a sentence for people, and the exit code of the pod that caused the end (None where there is none).

    `acknowledged`: a checkpoint request with `then: Stop` was answered; `deleted`: its job is being or was deleted;
    `progress`: the newest report of this attempt, from the last word or scraped.
    """
    case = _Case(attempt, acknowledged, deleted, progress, _codes(attempt.pods))
    return next(verdict for rule in _RULES if (verdict := rule(case)) is not None)


def _codes(pods: Iterable[PodFacts]) -> dict[str, int]:
    """Exit codes by pod, lowest index first; OOMKilled counts as 76, and torchrun's 1 as what the last word says."""
    return {
        pod.name: _code(pod)
        for pod in sorted(pods, key=lambda pod: (pod.index, pod.name))
        if pod.exit_code is not None and (pod.finished_at is not None or pod.container_reason not in LOST_REASONS)
    }


def _code(pod: PodFacts) -> int:
    if pod.container_reason == "OOMKilled":
        return ExitCode.OUT_OF_MEMORY
    if pod.exit_code == _TORCHRUN_FAILURE and pod.last_word is not None:
        return pod.last_word.exit_code
    return pod.exit_code or 0


def _taken_away(pod: PodFacts, attempt: Attempt) -> bool:
    lost = pod.container_reason in LOST_REASONS and container_ran(pod)
    gone = not pod.terminal and pod.node is not None and pod.node in attempt.unreachable_nodes
    return pod.disrupted or pod.pod_reason in DISRUPTION_REASONS or lost or gone


def _stop_answered(progress: Progress | None) -> bool:
    """An acknowledged stop that was not called off: no step was made after it."""
    answer = progress.answer if progress is not None else None
    if progress is None or answer is None or answer.step is None:
        return False
    return answer.state == "Acknowledged" and answer.then == "Stop" and answer.step >= progress.step


def _manifest_of_last_step(progress: Progress | None) -> bool:
    return progress is not None and progress.checkpoint is not None and progress.checkpoint.step >= progress.step


def _finished(case: _Case) -> Verdict | None:
    """Index 0 decides, as in the Job's successPolicy: the other pods are told to go and say 143."""
    first = next((pod for pod in case.attempt.pods if pod.index == 0 and pod.name in case.codes), None)
    complete = case.attempt.job is not None and case.attempt.job.complete
    if (first is not None and case.codes[first.name] == ExitCode.LANDED) or (first is None and complete):
        said = case.word.message if case.word is not None else ""
        return case.stage_finished, said or "finished", int(ExitCode.LANDED)
    return None


def _never_started(case: _Case) -> Verdict | None:
    if ever_bound(case.attempt):
        return None
    waiting = next((pod.waiting_message for pod in case.attempt.pods if pod.waiting_message), "")
    return Outcome.NEVER_STARTED, f"no pod was ever bound: {waiting}" if waiting else "no pod was ever bound", None


def _deleted(case: _Case) -> Verdict | None:
    return (Outcome.DELETED, "its job was deleted while it ran", case.worst) if case.deleted else None


def _bad_config(case: _Case) -> Verdict | None:
    pod = case.pod_with(ExitCode.BAD_CONFIG)
    if pod is None:
        return None
    return Outcome.BAD_CONFIG, _said(case, f"{pod} cannot use the run config or the data"), int(ExitCode.BAD_CONFIG)


def _out_of_memory(case: _Case) -> Verdict | None:
    pod = case.pod_with(ExitCode.OUT_OF_MEMORY)
    if pod is None:
        return None
    return Outcome.OUT_OF_MEMORY, _said(case, f"{pod} ran out of memory"), int(ExitCode.OUT_OF_MEMORY)


def _crashed(case: _Case) -> Verdict | None:
    """A code that nobody else can have caused."""
    for pod in case.attempt.pods:
        code = case.codes.get(pod.name)
        lost = code == LOST_EXIT_CODE and (pod.container_reason or "Unknown") in LOST_REASONS
        if code is not None and code not in _WITHOUT_FAULT and not lost:
            return Outcome.FAILED, _said(case, f"{pod.name} crashed with exit code {code}"), code
    return None


def _stopped(case: _Case) -> Verdict | None:
    """Asked to stop, and the checkpoint stands: however it left after that, nothing is lost."""
    if not (case.acknowledged or _stop_answered(case.progress)):
        return None
    return Outcome.STOPPED, _said(case, "stopped on request after a checkpoint"), case.worst


def _pods_ready_timeout(case: _Case) -> Verdict | None:
    """The gang never came together within startupTimeout: a deadline fell, or the pods that stood gave up on the others."""
    gave_up = case.pod_with(ExitCode.TRY_AGAIN) is not None and case.gang_incomplete
    if case.trained or case.disrupted or not (case.deadline_hit or gave_up) or not _startup_timed_out(case):
        return None
    waiting = next((f": {pod.waiting_reason}" for pod in case.attempt.pods if pod.waiting_reason), "")
    timeout = case.attempt.record.spec.ends.startup_timeout
    return Outcome.PODS_READY_TIMEOUT, f"not every pod was ready within {timeout} s{waiting}", case.worst


def _startup_timed_out(case: _Case) -> bool:
    """Whether the startup timeout had passed, and not the lease itself with the trainer's report lost."""
    ends, lasted = case.attempt.record.spec.ends, _lasted(case.attempt)
    if lasted < timedelta(seconds=ends.startup_timeout) - ONE_SECOND:
        return False
    return case.gang_incomplete or lasted < timedelta(seconds=ends.trainer)


def _lasted(attempt: Attempt) -> timedelta:
    """From the Job's start, else the first bind, to the last thing that is known to have happened."""
    job, pods = attempt.job, attempt.pods
    begun = job.started_at if job is not None and job.started_at is not None else attempt.first_bound_at
    times = [time for pod in pods for time in (pod.finished_at, pod.terminal_at, pod.deleted_at) if time is not None]
    if job is not None and job.finished_at is not None:
        times.append(job.finished_at)
    return max(times) - begun if times and begun is not None else timedelta(0)


def _lease_ended(case: _Case) -> Verdict | None:
    if not case.deadline_hit:
        return None
    return Outcome.LEASE_ENDED, _said(case, "its lease ended"), case.worst


def _drained(case: _Case) -> Verdict | None:
    """Taken away by others: without loss where the newest manifest is of the last step."""
    pod = case.disrupted
    if pod is None:
        return None
    code = case.codes.get(pod.name)
    if code == ExitCode.TRY_AGAIN:
        code = None  # SIGTERM came during the import: the cause is the drain, not a peer or the storage
    if code == ExitCode.STOPPED and _manifest_of_last_step(case.progress):
        return Outcome.STOPPED, f"{pod.name} was drained; its last step is durable", code
    return Outcome.DISRUPTED, f"{pod.name} was taken away ({pod.pod_reason or pod.container_reason or 'disruption'})", code


def _killed(case: _Case) -> Verdict | None:
    """SIGKILL from nobody that has a right to: the kernel, or a hand on the node."""
    pod = next((pod for pod in case.attempt.pods if _code_is(case, pod, KILLED) and pod.deleted_at is None), None)
    return (Outcome.FAILED, _said(case, f"{pod.name} was killed"), KILLED) if pod is not None else None


def _terminated(case: _Case) -> Verdict | None:
    """143 without a request: stopped where the newest manifest proves it, else a disruption (DESIGN 5)."""
    if case.pod_with(ExitCode.STOPPED) is None or case.pod_with(ExitCode.TRY_AGAIN) is not None:
        return None
    if _manifest_of_last_step(case.progress):
        return Outcome.STOPPED, _said(case, "stopped by SIGTERM; its last step is durable"), int(ExitCode.STOPPED)
    return Outcome.DISRUPTED, _said(case, "stopped by SIGTERM before its last step was durable"), int(ExitCode.STOPPED)


def _peer_lost(case: _Case) -> Verdict | None:
    pod = case.pod_with(ExitCode.TRY_AGAIN)
    if pod is None:
        return None
    return Outcome.DISRUPTED, _said(case, f"{pod} lost a peer or its storage"), int(ExitCode.TRY_AGAIN)


def _grace_exceeded(case: _Case) -> Verdict | None:
    pod = case.pod_with(KILLED)
    if pod is None:
        return None
    return Outcome.DISRUPTED, f"{pod} did not leave within its grace and was killed", KILLED


def _unexplained(case: _Case) -> Verdict:
    job = case.attempt.job
    reason = job.failed_reason if job is not None and job.failed_reason else "its evidence is lost"
    return Outcome.DISRUPTED, f"ended without a word ({reason})", case.worst


def _code_is(case: _Case, pod: PodFacts, code: int) -> bool:
    return case.codes.get(pod.name) == code


def _said(case: _Case, otherwise: str) -> str:
    """The trainer's own message where its last word has one."""
    return case.word.message if case.word is not None and case.word.message else otherwise


_RULES: tuple[Callable[[_Case], Verdict | None], ...] = (
    _finished,
    _never_started,
    _deleted,
    _bad_config,
    _out_of_memory,
    _crashed,
    _stopped,
    _pods_ready_timeout,
    _lease_ended,
    _drained,
    _killed,
    _terminated,
    _peer_lost,
    _grace_exceeded,
    _unexplained,
)
