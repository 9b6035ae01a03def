"""A batch/v1 Job and its pods as Job controller, scheduler and kubelet play them: deadlines, SIGTERM, grace, exit codes."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from farthing.contract.exit_codes import ExitCode
from farthing.contract.progress import LastWord
from farthing.contract.runconfig import RunConfig
from farthing.domain.snapshot import JobFacts, PodFacts
from farthing.simulator.trainer import Behaviour, Durable, Trainer
from farthing.units import parse_quantity, parse_time

KILLED = 137
PULL_SECONDS = 1.0
CONTROLLER_LAG = timedelta(seconds=1)
LOST = 255
"""Exit code of a container whose end nobody saw: its node came back without it."""

Place = Callable[[str, int, int], list[str] | None]
"""(resource pool, pods, accelerators a pod) → the node of each pod, or None where the gang does not fit."""


@dataclass
class Gang:
    """One attempt's Job and pods. `job` None: the Job object is gone, its held pods may stand."""

    manifest: dict[str, Any]
    config: RunConfig
    pool: str
    behaviour: Behaviour
    durable: Durable
    job: JobFacts | None
    pods: list[PodFacts] = field(default_factory=list)
    trainer: Trainer | None = None
    terminated_at: datetime | None = None
    ended_at: datetime | None = None
    deadline_hit: bool = False
    unseen_end: datetime | None = None
    """When the processes ended while their node was out of sight: told when it returns."""
    bound_at: datetime | None = None
    """When its first pod was bound: the truth, whatever is left to tell it."""
    alive_until: datetime | None = None
    """When it was last alive: the truth again."""
    forgotten: bool = False
    """Its pods are gone with all that they knew."""
    bare: bool = False
    """Its ConfigMap was gone when it was made, by a leader that woke too late: no container of it can start."""
    buried: set[str] = field(default_factory=set)
    """Nodes that are gone for good: nobody reports for its pods there."""

    @classmethod
    def created(
        cls, manifest: dict[str, Any], config: RunConfig, pool: str, behaviour: Behaviour, durable: Durable, now: datetime
    ) -> "Gang":
        """The Job as it is POSTed."""
        spec = manifest["spec"]
        facts = JobFacts(
            name=manifest["metadata"]["name"],
            uid=f"uid-{manifest['metadata']['name']}",
            suspended=spec["suspend"],
            active_deadline_seconds=spec["activeDeadlineSeconds"],
            created_at=now,
        )
        return cls(manifest, config, pool, behaviour, durable, facts)

    @property
    def pod_spec(self) -> dict[str, Any]:
        """The pod template's spec."""
        spec: dict[str, Any] = self.manifest["spec"]["template"]["spec"]
        return spec

    @property
    def size(self) -> int:
        """Pods of the gang."""
        return int(self.manifest["spec"]["completions"])

    @property
    def alive(self) -> bool:
        """Whether a container runs or may start."""
        return any(not pod.terminal for pod in self.pods)

    def occupied(self) -> list[str]:
        """The node of each pod that is bound and not terminal."""
        return [pod.node for pod in self.pods if pod.node is not None and not pod.terminal]

    @property
    def held_seconds(self) -> float:
        """How long it really held its accelerators so far."""
        if self.bound_at is None or self.alive_until is None:
            return 0.0
        return (self.alive_until - self.bound_at).total_seconds()

    @property
    def really_alive(self) -> bool:
        """Whether a process of it runs or may start, seen or not."""
        return self.alive if self.trainer is None else self.trainer.exit_code is None

    def tick(self, now: datetime, place: Place, reachable: Callable[[str], bool]) -> None:
        """Everybody's part until `now`."""
        self._start(now, place)
        if self.alive and all(pod.node is not None and not reachable(pod.node) for pod in self.pods):
            self._out_of_sight(now)
        else:
            self._reveal()
            self._deadlines(now)
            self._run(now)
            self._grace(now)
            self._finish(now)
        if self.bound_at is not None and self.really_alive:
            self.alive_until = now

    def _out_of_sight(self, now: datetime) -> None:
        """The kubelet is dead: no signal arrives and nothing is reported, but trainer and supervisor live on."""
        if self.alive and self._job_late(now):
            self.deadline_hit = True
            self.terminate(now)
        if self.trainer is None or self.unseen_end is not None:
            return
        self.trainer.tick(now, parse_quantity(self._memory()))
        self._supervise(now)
        self.durable = self.trainer.durable
        if self.trainer.exit_code not in (None, LOST):
            self.unseen_end = now

    def _reveal(self) -> None:
        """The kubelet is back and tells the true time."""
        if self.unseen_end is not None and self.trainer is not None and self.trainer.exit_code is not None:
            self._exit(self.unseen_end, self.trainer.exit_code)
            self.unseen_end = None

    def terminate(self, now: datetime) -> None:
        """The pods are deleted: SIGTERM now, SIGKILL after the grace."""
        if self.terminated_at is None:
            self.terminated_at = now
            grace = timedelta(seconds=self.pod_spec["terminationGracePeriodSeconds"])
            self.pods = [pod if pod.terminal else replace(pod, deleted_at=now + grace) for pod in self.pods]

    def release(self) -> None:
        """spec.suspend: false."""
        if self.job is not None:
            self.job = replace(self.job, suspended=False)

    def lower_deadline(self, seconds: int) -> None:
        """spec.activeDeadlineSeconds of the Job."""
        if self.job is not None:
            self.job = replace(self.job, active_deadline_seconds=seconds)

    def let_go(self) -> None:
        """The ledger's finalizer comes off."""
        self.pods = [replace(pod, held=False) for pod in self.pods]

    def forget(self) -> None:
        """An administrator drops the finalizers and deletes the pods by force: what ran is killed, what they knew is gone."""
        if self.trainer is not None:
            self.trainer.kill(KILLED)
        self.pods, self.forgotten = [], True

    def bury(self, node: str, now: datetime) -> None:
        """The pod collector's part for a node that is gone for good: its pods fail without a word."""
        self.buried.add(node)
        self.pods = [
            replace(pod, phase="Failed", ready=False, disrupted=True, terminal_at=now)
            if pod.node == node and not pod.terminal
            else pod
            for pod in self.pods
        ]

    def _start(self, now: datetime, place: Place) -> None:
        job = self.job
        if job is None or job.suspended or job.failed or job.complete or job.deleting:
            return
        if job.started_at is None:
            self.job = replace(job, started_at=now)
            self.pods = [self._pod(index) for index in range(self.size)]
        if self.terminated_at is None and any(pod.node is None for pod in self.pods):
            nodes = place(self.pool, self.size, self.config.processes_per_pod)
            if nodes is not None:
                self.pods = [
                    replace(pod, node=node, bound_at=now, started_at=now, ip=f"10.0.0.{pod.index}")
                    for pod, node in zip(self.pods, nodes, strict=True)
                ]
                self.bound_at = self.alive_until = now
            else:
                self.pods = [replace(pod, waiting_reason="Unschedulable") for pod in self.pods]

    def _pod(self, index: int) -> PodFacts:
        name = f"{self.manifest['metadata']['name']}-{index}"
        return PodFacts(name=name, uid=f"uid-{name}", index=index, phase="Pending", held=True)

    def _deadlines(self, now: datetime) -> None:
        """The Job controller's, then the kubelet's."""
        if self.alive and self._job_late(now):
            self.deadline_hit = True
            self.terminate(now)
        started = [pod.started_at for pod in self.pods if pod.started_at is not None and not pod.terminal]
        if started and now >= min(started) + timedelta(seconds=self.pod_spec["activeDeadlineSeconds"]):
            self.pods = [replace(pod, pod_reason=pod.pod_reason or "DeadlineExceeded") for pod in self.pods]
            self.terminated_at = self.terminated_at or now

    def _job_late(self, now: datetime) -> bool:
        job = self.job
        if job is None or job.started_at is None or job.active_deadline_seconds is None:
            return False
        return now >= job.started_at + timedelta(seconds=job.active_deadline_seconds) + CONTROLLER_LAG

    def _run(self, now: datetime) -> None:
        bound = [pod.bound_at for pod in self.pods if pod.bound_at is not None]
        if not bound or not self.alive:
            return
        if self.trainer is None and now >= max(bound) + timedelta(seconds=PULL_SECONDS):
            self._begin(now)
        if self.trainer is None:
            return
        if self.terminated_at is not None:
            self.trainer.terminate(now)
        self.trainer.tick(now, parse_quantity(self._memory()))
        self._supervise(now)
        self.durable = self.trainer.durable
        if self.trainer.exit_code is not None:
            self._exit(now, self.trainer.exit_code)

    def _begin(self, now: datetime) -> None:
        if self.bare or not self.behaviour.pulls:
            self.pods = [replace(pod, waiting_reason="ImagePullBackOff") for pod in self.pods]
            return
        self.trainer = Trainer(self.config, self.behaviour, now, self.durable)
        self.pods = [replace(pod, phase="Running", ready=True, waiting_reason=None) for pod in self.pods]

    def _memory(self) -> str:
        limit: str = self.pod_spec["containers"][0]["resources"]["limits"]["memory"]
        return limit

    def _supervise(self, now: datetime) -> None:
        """PID 1's own deadline."""
        assert self.trainer is not None
        end = self.config.lease.supervisor_end
        late = end.seconds is not None and (now - self.trainer.started).total_seconds() >= end.seconds
        late = late or (end.not_after is not None and now >= parse_time(end.not_after))
        if late and self.behaviour.supervised:
            self.trainer.kill(ExitCode.STOPPED)

    def _grace(self, now: datetime) -> None:
        """SIGKILL after the grace; a container that never ran is simply gone."""
        if self.terminated_at is None or not self.alive:
            return
        late = now >= self.terminated_at + timedelta(seconds=self.pod_spec["terminationGracePeriodSeconds"])
        if self.trainer is None:
            self.pods = [replace(pod, phase="Failed", ready=False, terminal_at=now) for pod in self.pods]
        elif late:
            self.trainer.kill(KILLED)
            self._exit(now, KILLED)

    def _exit(self, now: datetime, code: int) -> None:
        word = None if self.trainer is None else self.trainer.last_word()
        self.pods = [
            pod
            if pod.terminal or pod.node in self.buried
            else replace(
                pod,
                phase="Succeeded" if code == 0 else "Failed",
                ready=False,
                exit_code=code,
                finished_at=now,
                terminal_at=now,
                container_reason=_reason(code, word),
                last_word=word if pod.index == 0 else None,
            )
            for pod in self.pods
        ]

    def _finish(self, now: datetime) -> None:
        """The Job's final condition follows the last container by the controller's lag."""
        if self.alive or not (self.pods or self.forgotten):
            return
        self.ended_at = self.ended_at or now
        job = self.job
        if job is None or job.failed or job.complete or now < self.ended_at + CONTROLLER_LAG:
            return
        complete = bool(self.pods) and self.pods[0].exit_code == 0
        failure = "BackoffLimitExceeded" if self.forgotten else "PodFailurePolicy"
        reason = None if complete else ("DeadlineExceeded" if self.deadline_hit else failure)
        self.job = replace(job, complete=complete, failed=not complete, failed_reason=reason, finished_at=now)


def _reason(code: int, word: LastWord | None) -> str:
    """What the kubelet calls the end of a container."""
    if code == LOST:
        return "Unknown"
    if code == ExitCode.OUT_OF_MEMORY and word is None:
        return "OOMKilled"
    return "Completed" if code == 0 else "Error"
