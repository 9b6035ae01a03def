"""Writing down what was seen and decided: statuses under resourceVersion, events with names that cannot double."""

import hashlib
from typing import Any, Final

from farthing.api import BudgetedTrainingJob, GPUNodePoolStatus, TrainingBudgetStatus
from farthing.clock import Clock
from farthing.errors import Conflict
from farthing.kube.books import JobVersions, job_with_status
from farthing.kube.client import Client
from farthing.kube.resources import ACCOUNTS, EVENTS, POOLS, TRAINING_JOBS
from farthing.units import format_time

COMPONENT: Final = "farthing"
MAX_MESSAGE: Final = 1024
"""Longest message of a core/v1 Event (validation of the API server)."""


class ClusterRecorder:
    """`engine.ports.Recorder` on a real API server."""

    def __init__(self, client: Client, versions: JobVersions, clock: Clock) -> None:
        self._client = client
        self._versions = versions
        self._clock = clock

    async def write_job_status(self, job: BudgetedTrainingJob, status: dict[str, Any]) -> None:
        """Replace the job's status under resourceVersion. Raises Conflict if anybody else wrote since the snapshot.

        `holds` stay as they stand in the books where this cycle changed them: they belong to `books`, not to the cycle's view.
        """
        newest = self._versions.newest(job)
        if newest.holds is not None:
            status = {**status, "holds": newest.holds}
        path = TRAINING_JOBS.path(job.metadata.namespace, job.metadata.name, "status")
        written = await self._client.replace(path, job_with_status(job, newest.version, status))
        self._versions.wrote(job.metadata.uid, newest.version, written)

    async def write_pool_status(self, name: str, status: GPUNodePoolStatus) -> None:
        """Replace the pool's status. A pool that is gone has none."""
        pool = await self._client.get(POOLS.path(name=name))
        if pool is not None:
            pool["status"] = status.to_dict()
            await self._client.replace(POOLS.path(name=name, subresource="status"), pool)

    async def write_account_status(
        self, namespace: str, name: str, status: TrainingBudgetStatus, resource_version: str
    ) -> None:
        """Replace the account's status under resourceVersion. Raises Conflict if a hold was added or settled meanwhile."""
        account = await self._client.get(ACCOUNTS.path(namespace, name))
        if account is None:
            return
        if account["metadata"]["resourceVersion"] != resource_version:
            raise Conflict(f"TrainingBudget {namespace}/{name} changed since it was read")
        account["status"] = status.to_dict()
        await self._client.replace(ACCOUNTS.path(namespace, name, "status"), account)

    async def emit(self, job: BudgetedTrainingJob, reason: str, message: str, *, warning: bool = False) -> None:
        """An Event on the job; the same one again raises the count of the first."""
        name = event_name(job, reason, message)
        namespace = job.metadata.namespace or "default"
        try:
            await self._client.create(EVENTS.path(namespace), self._event(job, name, reason, message, warning=warning))
        except Conflict:
            await self._count(namespace, name)

    async def delete_job(self, job: BudgetedTrainingJob) -> None:
        """Delete the job in the background; one that was made anew under its name stays."""
        await self._client.delete(TRAINING_JOBS.path(job.metadata.namespace, job.metadata.name), uid=job.metadata.uid)

    async def _count(self, namespace: str, name: str) -> None:
        event = await self._client.get(EVENTS.path(namespace, name))
        if event is not None:
            event["count"] = int(event.get("count") or 1) + 1
            event["lastTimestamp"] = self._now()
            await self._client.replace(EVENTS.path(namespace, name), event)

    def _event(self, job: BudgetedTrainingJob, name: str, reason: str, message: str, *, warning: bool) -> dict[str, Any]:
        now = self._now()
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": job.metadata.namespace or "default"},
            "involvedObject": {
                "apiVersion": TRAINING_JOBS.api_version,
                "kind": TRAINING_JOBS.kind,
                "name": job.metadata.name,
                "namespace": job.metadata.namespace,
                "uid": job.metadata.uid,
            },
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message[:MAX_MESSAGE],
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }

    def _now(self) -> str:
        return format_time(self._clock.now())


def event_name(job: BudgetedTrainingJob, reason: str, message: str) -> str:
    """One name for one (job, reason, message): a cycle repeated after a crash finds the event instead of doubling it."""
    digest = hashlib.sha256(f"{job.metadata.uid}/{reason}/{message}".encode()).hexdigest()[:16]
    return f"{job.metadata.name}.{digest}"
