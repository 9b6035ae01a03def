"""Why the Job controller cannot make an attempt's pods: a ResourceQuota, a LimitRange, Pod Security, a missing service account.

Nothing in a Job's status tells; the controller says it in Events of the Job. They are asked for only while a Job that may run
has had fewer pods than it wants for longer than making them takes.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from farthing.clock import Clock
from farthing.domain.snapshot import Attempt, Snapshot
from farthing.errors import ClusterError
from farthing.kube.client import Client
from farthing.kube.resources import EVENTS, JOBS

log = logging.getLogger(__name__)

PATIENCE: Final = timedelta(seconds=3)
"""The Job controller makes the pods of a gang within a second of its Job."""
FAILED_CREATE: Final = "FailedCreate"
"""Reason of the Job controller's Event about a pod that the API server refused."""


class PodRefusals:
    """What the API server said to the Job controller, by UID of the Job."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._said: dict[str, str] = {}

    async def poll(self, attempts: Iterable[Attempt]) -> tuple[str, ...]:
        """Ask about each of these open attempts that lacks pods; UIDs of the Jobs for which the answer changed."""
        before, short = self._said, [attempt for attempt in attempts if self._short(attempt)]
        self._said = {uid: text for attempt in short for uid, text in (await self._ask(attempt)).items()}
        changed = {uid for uid in before.keys() | self._said.keys() if before.get(uid) != self._said.get(uid)}
        return tuple(sorted(changed))

    def shown(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with what is known of refused pods."""
        if not self._said:
            return snapshot
        jobs = (replace(view, attempts=tuple(self._with_refusal(each) for each in view.attempts)) for view in snapshot.jobs)
        return replace(snapshot, jobs=tuple(jobs))

    def _with_refusal(self, attempt: Attempt) -> Attempt:
        text = self._said.get(attempt.job.uid) if attempt.job is not None else None
        lacking = text is not None and len(attempt.pods) < attempt.record.spec.pods
        return replace(attempt, pods_refused=text) if lacking else attempt

    def _short(self, attempt: Attempt) -> bool:
        """Whether a Job that may run has fewer pods than it wants, and has had time to make them."""
        job = attempt.job
        if job is None or job.suspended or job.complete or job.failed or job.deleting or job.started_at is None:
            return False
        return len(attempt.pods) < attempt.record.spec.pods and self._clock.now() >= job.started_at + PATIENCE

    async def _ask(self, attempt: Attempt) -> dict[str, str]:
        """The newest refusal by the Job's UID; what was known before where there is no answer."""
        assert attempt.job is not None
        uid, kind = attempt.job.uid, JOBS.kind
        fields = (
            f"involvedObject.kind={kind},involvedObject.name={attempt.name},involvedObject.uid={uid},reason={FAILED_CREATE}"
        )
        try:
            events = await self._client.list_items(EVENTS.path(attempt.record.metadata.namespace), fields=fields)
        except ClusterError as error:
            log.warning("%s: nobody can say why it lacks pods: %s", attempt.name, error)
            return {uid: self._said[uid]} if uid in self._said else {}
        newest = max(events, key=_time, default=None)
        return {} if newest is None else {uid: str(newest.get("message") or FAILED_CREATE)}


def _time(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])
