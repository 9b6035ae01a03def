"""The composition root: every part of the operator is made and joined here, and nowhere else."""

import asyncio
import logging
import os
import random
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

from farthing.clock import Clock, SystemClock
from farthing.controller.engine import turn_of
from farthing.controller.http import PORT, Pulse, application, serve
from farthing.controller.loop import Loop
from farthing.controller.queue import Doorbell, Pace, WakeUps
from farthing.controller.world import ClusterWorld
from farthing.domain.snapshot import Attempt
from farthing.errors import ClusterError
from farthing.kube.attempts import ClusterAttempts
from farthing.kube.books import Books, JobVersions
from farthing.kube.client import Client
from farthing.kube.discovery import native_gangs
from farthing.kube.lease import Leadership
from farthing.kube.operator_key import OperatorKey, load_operator_key
from farthing.kube.recorder import ClusterRecorder
from farthing.kube.refusals import PodRefusals
from farthing.kube.resources import Resource
from farthing.kube.watches import Watches
from farthing.settings import ENV_SETTINGS, Settings, parse_settings
from farthing.telemetry.metrics import OperatorMetrics
from farthing.telemetry.scrape import Trainers

log = logging.getLogger(__name__)

ENV_PORT: Final = "FARTHING_HTTP_PORT"
"""Port of /metrics, /healthz and /readyz; 8080 where it is not set."""
ENV_IDENTITY: Final = "POD_NAME"
"""Set by the chart from metadata.name: who holds the lease."""


def load_settings() -> Settings:
    """The settings that FARTHING_SETTINGS names, or the defaults. Raises InvalidSpec."""
    file = os.environ.get(ENV_SETTINGS)
    return parse_settings(Path(file).read_text() if file else "")


def identity() -> str:
    """Who this process is on the lease: the pod's name, elsewhere host and process."""
    return os.environ.get(ENV_IDENTITY) or f"{socket.gethostname()}-{os.getpid()}"


class Operator:
    """One operator process: its caches are warm always, its loop turns while it leads."""

    def __init__(self, settings: Settings, clock: Clock, client: Client) -> None:
        self._settings = settings
        self._clock = clock
        self._client = client
        self._metrics = OperatorMetrics()
        pace = Pace(period=settings.cycle.control_period)
        self.doorbell = Doorbell(WakeUps(clock, pace, random.Random()))
        self._watches = Watches(client, self._changed, resync=settings.cycle.resync)
        self._leadership = self._candidate()
        self._loop: Loop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._failed_task: str | None = None
        self._closing = AsyncExitStack()

    @classmethod
    async def start(cls) -> Self:
        """Load the settings, connect, and start every task. Raises InvalidSpec or ClusterError where that cannot be."""
        client = await Client.connect()
        operator = cls(load_settings(), SystemClock(), client)
        operator._closing.push_async_callback(client.close)
        try:
            await operator._start()
        except BaseException:
            await operator.stop()
            raise
        return operator

    async def stop(self) -> None:
        """Give the lease back, end every task, close every connection."""
        for task in self._tasks:
            task.remove_done_callback(self._ended)
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._watches.stop()
        try:
            await self._leadership.release()
        except ClusterError as error:
            log.warning("the lease could not be given back and runs out by itself: %s", error)
        await self._closing.aclose()

    def pulse(self) -> Pulse:
        """How alive it is."""
        return Pulse(self._watches.ages(), self._loop.age if self._loop else None, self._failed_task)

    async def _start(self) -> None:
        self._client.fence = self._leadership.fence
        runner = await serve(
            application(self._metrics, self.pulse, lambda: self._watches.waiting_for),
            int(os.environ.get(ENV_PORT, PORT)),
        )
        self._closing.push_async_callback(runner.cleanup)
        key = await load_operator_key(self._client, self._settings.operator_namespace)
        world = self._world(key, native=await native_gangs(self._client))
        turn = turn_of(world, self._settings, self._clock)
        self._loop = Loop(turn, lambda: self._leadership.leading, self.doorbell, self._metrics)
        for task in self._watches.start():
            self._guard(task)
        self._run("leadership", self._leadership.run())
        self._run("reports", world.poll_trainers(self.doorbell.ring))
        self._run("loop", self._after_sync(self._loop.run))

    async def _after_sync(self, run: Callable[[], Awaitable[None]]) -> None:
        """Nothing is decided on half a picture."""
        await self._watches.wait_synced()
        log.info("caches are synced")
        await run()

    def _world(self, key: OperatorKey, *, native: bool) -> ClusterWorld:
        settings, clock, client = self._settings, self._clock, self._client
        versions = JobVersions()
        trainers = Trainers(
            clock,
            token=lambda attempt: _token(key, attempt),
            timeout=settings.handshake.http_timeout,
            concurrency=settings.cycle.port_concurrency,
        )
        self._closing.push_async_callback(trainers.close)
        log.info("gangs are placed by %s", "native PodGroups" if native else "suspended Jobs")
        return ClusterWorld(
            clock,
            self._watches,
            ClusterAttempts(client, key, Books(client, versions, clock), native_gangs=native),
            trainers,
            ClusterRecorder(client, versions, clock),
            self._metrics,
            versions,
            PodRefusals(client, clock),
            native_gangs=native,
            draining=lambda: self._leadership.draining,
        )

    def _candidate(self) -> Leadership:
        settings = self._settings
        return Leadership(
            self._client,
            namespace=settings.operator_namespace,
            name=settings.leadership.name,
            identity=identity(),
            clock=self._clock,
            duration=settings.leadership.duration,
            renew_every=settings.leadership.renew_every,
            changed=self._led,
        )

    def _changed(self, resource: Resource, key: str) -> None:
        self.doorbell.ring(f"{resource.plural}/{key}")

    def _led(self, leading: bool) -> None:
        self._metrics.leader(leading)
        self.doorbell.ring("leadership")

    def _run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.append(task)
        self._guard(task)

    def _guard(self, task: "asyncio.Task[None]") -> None:
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """A task that ends is a bug: say so and leave; the kubelet starts a fresh process over the same state."""
        if task.cancelled():
            return
        self._failed_task = task.get_name()
        log.critical("task %s ended; leaving", task.get_name(), exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)


def _token(key: OperatorKey, attempt: Attempt) -> str:
    return key.token(attempt.record.metadata.uid)
