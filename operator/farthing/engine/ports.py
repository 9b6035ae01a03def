"""What the engine needs from the world. Every method is idempotent: asked twice, the second call changes nothing.

Errors: `Conflict` (re-read, decide anew next cycle), `Refused` (the API server's no: the job becomes Stalled with its text),
`Unreachable` (try again next cycle). Absence is None or an empty tuple, never an error.
"""

from typing import Any, Protocol

from farthing.api import BudgetedTrainingJob, GPUNodePoolStatus, TrainingBudgetStatus
from farthing.contract.handshake import CheckpointAnswer, CheckpointRequest, LeaseUpdate
from farthing.domain.decision import OpenAttempt, SettleAttempt
from farthing.domain.manifests import AttemptManifests
from farthing.domain.snapshot import Attempt, Snapshot


class Observer(Protocol):
    """Where snapshots come from."""

    async def observe(self) -> Snapshot:
        """The state of the cluster from warm watch caches, with the trainers' reports scraped beside it."""
        ...


class Attempts(Protocol):
    """Starting, steering and ending attempts."""

    async def open_attempt(self, action: OpenAttempt, job: BudgetedTrainingJob, children: AttemptManifests) -> None:
        """Reserve and act as one (DESIGN 4, order of a start).

        (1) adds the hold under resourceVersion to the account's status, or to the job's own where it has none; (2) POSTs the
        open SpendRecord; (3) POSTs Secret, ConfigMap, Service, NetworkPolicy (and PodGroup); (4) POSTs the Job. A 409 at (1) or
        (2) raises Conflict: another leader was here. Found half done by the same attempt name, it goes on where it stopped.
        """
        ...

    async def release(self, attempt: Attempt) -> None:
        """Set the Job's suspend to false."""
        ...

    async def lower_deadline(self, attempt: Attempt, seconds: int) -> None:
        """Lower the Job's activeDeadlineSeconds; a value that is not lower than the present one changes nothing."""
        ...

    async def end_pods(self, attempt: Attempt) -> None:
        """Delete the attempt's pods: SIGTERM, then the grace. Their finalizer keeps them until the bill is settled."""
        ...

    async def append_quote(self, attempt: Attempt, quote: dict[str, Any]) -> None:
        """Append a quote to the record's status.quotes under resourceVersion."""
        ...

    async def settle(self, action: SettleAttempt, attempt: Attempt) -> None:
        """Close the record, move its charge from hold to settled on the account (or the job), then `clean_up`.

        Raises Conflict where the Job, the pods or the training job are not as the evidence has them (`ledger.evidence.check`).
        """
        ...

    async def clean_up(self, attempt: Attempt) -> None:
        """Take the ledger's finalizer off the attempt's pods and delete its Job, Service, ConfigMap, Secret, PodGroup.

        Pods that nobody owns any more are deleted too.
        """
        ...

    async def release_hold(self, namespace: str, job: str, attempt: str, account: str | None) -> None:
        """Drop the hold of an attempt that has no record, or book the bill of one whose record is settled."""
        ...


class Trainers(Protocol):
    """Talking to rank 0 of a running attempt."""

    async def request_checkpoint(self, attempt: Attempt, request: CheckpointRequest) -> CheckpointAnswer:
        """POST /checkpoint. Raises Unreachable."""
        ...

    async def update_lease(self, attempt: Attempt, update: LeaseUpdate) -> None:
        """POST /lease. Raises Unreachable."""
        ...


class Recorder(Protocol):
    """Writing down what was seen and decided."""

    async def write_job_status(self, job: BudgetedTrainingJob, status: dict[str, Any]) -> None:
        """Replace the job's status under resourceVersion. Only called when it changed."""
        ...

    async def write_pool_status(self, name: str, status: GPUNodePoolStatus) -> None:
        """Replace the pool's status. Only called when it changed."""
        ...

    async def write_account_status(
        self, namespace: str, name: str, status: TrainingBudgetStatus, resource_version: str
    ) -> None:
        """Replace the account's derived status under resourceVersion. Only called when it changed."""
        ...

    async def emit(self, job: BudgetedTrainingJob, reason: str, message: str, *, warning: bool = False) -> None:
        """An Event on the job. Called after the status write that it tells of succeeded."""
        ...

    async def delete_job(self, job: BudgetedTrainingJob) -> None:
        """Delete the job in the background (ttlSecondsAfterFinished)."""
        ...


class Metrics(Protocol):
    """The numbers of one cycle, for Prometheus."""

    def cycle(self, seconds: float, phases: dict[str, float]) -> None:
        """Duration of a finished cycle and of its phases."""
        ...

    def decision(self, action: str, reason: str) -> None:
        """One decision that was carried out."""
        ...

    def job(self, job: BudgetedTrainingJob, status: dict[str, Any]) -> None:
        """Spent, limits, state and estimate errors of a job."""
        ...

    def forget(self, namespace: str, name: str) -> None:
        """The job is gone: drop its series."""
        ...


class World(Observer, Attempts, Trainers, Recorder, Metrics, Protocol):
    """All the ports at once: what one cycle is given. The cluster and the in-memory world both have this shape."""


__all__ = ["AttemptManifests", "Attempts", "Metrics", "Observer", "Recorder", "Trainers", "World"]
