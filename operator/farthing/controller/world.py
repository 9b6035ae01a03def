"""The cluster as the engine sees it: one object with every port, each answered by the part that knows how."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from farthing.clock import Clock
from farthing.domain.snapshot import Attempt, Snapshot
from farthing.kube.attempts import ClusterAttempts
from farthing.kube.books import JobVersions
from farthing.kube.recorder import ClusterRecorder
from farthing.kube.refusals import PodRefusals
from farthing.kube.snapshot import Snapshots
from farthing.kube.watches import Watches
from farthing.telemetry.metrics import OperatorMetrics
from farthing.telemetry.scrape import Trainers

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 2.0
"""Between two rounds of reports: a trainer's step takes about as long, and status shows them every 15 s anyway."""


class ClusterWorld:
    """`engine.ports.World` on a real cluster."""

    def __init__(
        self,
        clock: Clock,
        watches: Watches,
        attempts: ClusterAttempts,
        trainers: Trainers,
        recorder: ClusterRecorder,
        metrics: OperatorMetrics,
        versions: JobVersions,
        refusals: PodRefusals,
        *,
        native_gangs: bool,
        draining: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._refusals = refusals
        self._watches = watches
        self._snapshots = Snapshots(watches)
        self._trainers = trainers
        self._metrics = metrics
        self._versions = versions
        self._native_gangs = native_gangs
        self._draining = draining
        self._open_attempts: tuple[Attempt, ...] = ()
        self._known: set[tuple[str, str]] = set()
        self._asked = False
        self._join(attempts, trainers, recorder, metrics)

    def _join(self, attempts: ClusterAttempts, trainers: Trainers, recorder: ClusterRecorder, metrics: OperatorMetrics) -> None:
        """The other ports, handed on as they are."""
        self.open_attempt, self.release = attempts.open_attempt, attempts.release
        self.lower_deadline, self.append_quote = attempts.lower_deadline, attempts.append_quote
        self.end_pods = attempts.end_pods
        self.settle, self.clean_up, self.release_hold = attempts.settle, attempts.clean_up, attempts.release_hold
        self.request_checkpoint, self.update_lease = trainers.request_checkpoint, trainers.update_lease
        self.write_job_status, self.write_pool_status = recorder.write_job_status, recorder.write_pool_status
        self.write_account_status, self.emit = recorder.write_account_status, recorder.emit
        self.delete_job = recorder.delete_job
        self.cycle, self.decision, self.job, self.forget = metrics.cycle, metrics.decision, metrics.job, metrics.forget

    async def observe(self) -> Snapshot:
        """The caches, once they hold what this operator wrote itself, with the trainers' last reports.

        Raises Unreachable where a watch lags too far behind.
        """
        await self._watches.catch_up()
        self._versions.new_cycle()
        snapshot = self._snapshots.take(self._clock.now(), native_gangs=self._native_gangs)
        own = (attempt for view in snapshot.jobs for attempt in view.attempts)
        self._open_attempts = tuple(attempt for attempt in (*own, *snapshot.orphans) if attempt.open)
        if not self._asked:
            # What an earlier process was told is forgotten: a trainer that was never heard would be ended without being asked.
            self._asked = True
            await self._trainers.poll(self._open_attempts)
        self._forget_others({(view.namespace, view.job.metadata.name) for view in snapshot.jobs})
        self._metrics.accounts(snapshot.accounts.values())
        self._metrics.pools(view.pool for view in snapshot.pools)
        shown = self._refusals.shown(self._trainers.with_reports(snapshot))
        return shown.drained() if self._draining() else shown

    def _forget_others(self, present: set[tuple[str, str]]) -> None:
        """Series of jobs that are gone go too."""
        for namespace, name in self._known - present:
            self._metrics.forget(namespace, name)
        self._known = present

    async def poll_trainers(self, changed: Callable[[str], None]) -> None:
        """Until cancelled: ask every open attempt of the newest snapshot how it is, and why it lacks pods if it does.

        `changed` is called where an answer needs a cycle.
        """
        while True:
            for attempt in await self._trainers.poll(self._open_attempts):
                changed(attempt)
            for job in await self._refusals.poll(self._open_attempts):
                changed(job)
            await asyncio.sleep(POLL_SECONDS)
