"""What one cycle sees: an immutable picture of the cluster. Resources keep their `api` models; the rest is reduced to facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from farthing.api import BudgetedTrainingJob, GPUNodePool, SpendRecord, TrainingBudget
from farthing.contract.progress import LastWord, Progress


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What Kubernetes says of one pod of an attempt. Times are the API server's; None where it has none."""

    name: str
    uid: str
    index: int
    phase: str
    node: str | None = None
    ip: str | None = None
    ready: bool = False
    bound_at: datetime | None = None
    """Transition of PodScheduled to True."""
    started_at: datetime | None = None
    """status.startTime: the kubelet saw it."""
    finished_at: datetime | None = None
    """Latest container finishedAt."""
    terminal_at: datetime | None = None
    """When the phase became Succeeded or Failed, as far as a condition tells it."""
    deleted_at: datetime | None = None
    exit_code: int | None = None
    container_reason: str | None = None
    """Reason of the terminated container: OOMKilled, Error, Unknown, ContainerStatusUnknown …"""
    pod_reason: str | None = None
    """status.reason: DeadlineExceeded, Evicted, NodeLost …"""
    waiting_reason: str | None = None
    """ErrImagePull, CreateContainerConfigError …, or why it cannot be scheduled."""
    waiting_message: str = ""
    disrupted: bool = False
    """Condition DisruptionTarget is True."""
    held: bool = False
    """The ledger's finalizer still stands."""
    ownerless: bool = False
    """Nobody owns it: its Job was deleted with `--cascade=orphan`, and no controller will ever delete it."""
    last_word: LastWord | None = None

    @property
    def terminal(self) -> bool:
        """Whether its containers will never run again."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def left_behind(self) -> bool:
        """Whether it stays for ever unless somebody deletes it."""
        return self.ownerless and self.deleted_at is None


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What Kubernetes says of an attempt's batch/v1 Job."""

    name: str
    uid: str
    suspended: bool
    started_at: datetime | None = None
    active_deadline_seconds: int | None = None
    complete: bool = False
    failed: bool = False
    failed_reason: str | None = None
    finished_at: datetime | None = None
    """Transition of Complete or Failed."""
    deleting: bool = False
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: its spend record, and what is left of its children."""

    record: SpendRecord
    job: JobFacts | None = None
    pods: tuple[PodFacts, ...] = ()
    children: tuple[str, ...] = ()
    """Names of the other children that still exist, as `Kind/name`."""
    progress: Progress | None = None
    """The trainer's own report; None while nobody could be asked."""
    progress_at: datetime | None = None
    unreachable_polls: int = 0
    """Polls in a row that got no answer although a pod runs."""
    settled_on_account: bool = False
    """The bill is already in the account's closing balance (the record's own write may be missing)."""
    unreachable_nodes: tuple[str, ...] = ()
    """Nodes of its pods that are not Ready or are gone."""
    pods_refused: str | None = None
    """Why the Job controller cannot make its pods, in the API server's words; None where it can."""

    @property
    def name(self) -> str:
        """The attempt's name."""
        return self.record.spec.attempt

    @property
    def open(self) -> bool:
        """Whether the bill is still to be settled."""
        return self.record.status.phase == "Open"

    @property
    def first_bound_at(self) -> datetime | None:
        """When the clock of the lease started: the earliest bind."""
        times = [pod.bound_at or pod.started_at for pod in self.pods]
        return min((time for time in times if time is not None), default=None)

    @property
    def last_word(self) -> LastWord | None:
        """Rank 0's last word, if its pod left one."""
        return next((pod.last_word for pod in self.pods if pod.index == 0 and pod.last_word is not None), None)

    @property
    def running(self) -> bool:
        """Whether any pod is bound and not terminal."""
        return any(pod.bound_at is not None and not pod.terminal for pod in self.pods)


@dataclass(frozen=True, slots=True)
class JobView:
    """A BudgetedTrainingJob with its attempts, oldest first, and what the cluster says about its references."""

    job: BudgetedTrainingJob
    priority: int
    attempts: tuple[Attempt, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    """(reason, message) of references that do not resolve: account, claim, priority class."""
    drained: bool = False
    """The operator is asked to stop every attempt and to start none: it is about to be uninstalled."""

    @property
    def suspended_by(self) -> str | None:
        """What wants it to hold nothing, in words; None where it may run."""
        if self.job.spec.suspend:
            return "spec.suspend is set"
        return "the operator is being uninstalled, and the next one goes on" if self.drained else None

    @property
    def suspended(self) -> bool:
        """Whether it is to hold nothing."""
        return self.suspended_by is not None

    @property
    def key(self) -> str:
        """namespace/name."""
        return f"{self.job.metadata.namespace}/{self.job.metadata.name}"

    @property
    def namespace(self) -> str:
        """The job's namespace."""
        return self.job.metadata.namespace or "default"

    @property
    def open_attempt(self) -> Attempt | None:
        """The attempt whose bill is open; there is at most one."""
        return next((attempt for attempt in reversed(self.attempts) if attempt.open), None)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node of a pool. `free` = allocatable − asked for by every pod on it that is not terminal."""

    name: str
    ready: bool
    accelerators: int
    free: int
    memory_free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class PoolView:
    """A GPUNodePool and its nodes."""

    pool: GPUNodePool
    nodes: tuple[NodeFacts, ...] = ()

    @property
    def name(self) -> str:
        """The pool's name."""
        return self.pool.metadata.name


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything one cycle decides on."""

    now: datetime
    jobs: tuple[JobView, ...] = ()
    pools: tuple[PoolView, ...] = ()
    accounts: Mapping[str, TrainingBudget] = field(default_factory=dict)
    """By namespace/name."""
    orphans: tuple[Attempt, ...] = ()
    """Attempts whose job is gone, and whose bill is open or of which something is left."""
    history: tuple[Attempt, ...] = ()
    """Settled attempts whose job is gone and of which nothing is left but the bill: what they measured is still known."""
    namespace_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    native_gangs: bool = False
    """Whether scheduling.k8s.io PodGroups are served."""

    def account(self, namespace: str, name: str) -> TrainingBudget | None:
        """The account of that name, or None."""
        return self.accounts.get(f"{namespace}/{name}")

    def drained(self) -> "Snapshot":
        """The same with every job wanted to hold nothing."""
        return replace(self, jobs=tuple(replace(view, drained=True) for view in self.jobs))
