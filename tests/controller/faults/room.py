"""A room: one node, one pool and one operator behind a fault proxy, on a control plane that other rooms share."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from tests.support.faultproxy import FaultProxy, View, fault_proxy
from tests.support.forkserver import ForkServer, Process
from tests.support.manifests import POOL, changed
from tests.support.operating import SETTINGS
from tests.support.waiting import until

from farthing.kube import resources as of
from farthing.kube.client import Client
from farthing.local.cluster import LocalCluster
from farthing.local.kwok import fake_gpu_nodes

SLOT = "farthing.dev/cpu-slot"
NODES = 2
PRICE = "3.60"
"""A tenth of a cent for a second of one accelerator, so that a bill can be read."""
RESYNC_SECONDS = 3.0
PATIENCE_SECONDS = 240.0
_lives = itertools.count(1)


@dataclass(frozen=True)
class Room:
    """Where lives are lived, one after the other."""

    made: LocalCluster
    client: Client
    forks: ForkServer
    folder: Path
    name: str

    @classmethod
    async def furnish(cls, made: LocalCluster, client: Client, forks: ForkServer, folder: Path, number: int) -> "Room":
        """Two nodes of a slot each, whose pods have addresses of this machine's own, and a pool of them."""
        name = f"room-{number}"
        for index, node in enumerate(fake_gpu_nodes(made, NODES, 1, SLOT, {"room": name}, name=name)):
            cidr = f"127.{100 + os.getpid() % 100}.{NODES * number + index}.0/24"
            await client.patch(of.NODES.path(name=node), {"spec": {"podCIDR": cidr, "podCIDRs": [cidr]}})
        fields = {
            "acceleratorsPerNode": 1,
            "minNodes": NODES,
            "maxNodes": NODES,
            "nodeSelector": {"room": name},
            "rate": {"flopsPerSecond": "5e10", "source": "written by hand"},
            "price": {**POOL["spec"]["price"], "perAcceleratorHour": PRICE},
        }
        pool = changed(POOL, {"metadata.name": name, **{f"spec.{key}": value for key, value in fields.items()}})
        made.apply(pool)
        return cls(made, client, forks, folder, name)

    async def clear(self) -> None:
        """Take node and pool away."""
        await self.client.delete(of.POOLS.path(name=self.name))
        for index in range(NODES):
            await self.client.delete(of.NODES.path(name=f"{self.name}-{index}"))

    @asynccontextmanager
    async def stage(self) -> AsyncIterator["Stage"]:
        """New namespaces for one life, for its jobs and for its operators; they go with it, and with all that is in them."""
        name = f"{self.name}-life-{next(_lives)}"
        spaces = (name, f"{name}-system")
        for each in spaces:
            await self.client.create(of.NAMESPACES.path(), {"metadata": {"name": each}})
        try:
            yield Stage(self, name, spaces[1])
        finally:
            for each in spaces:
                await self.client.delete(of.NAMESPACES.path(name=each))

    def view(self, namespace: str) -> View:
        """What an operator of this room sees."""
        return View(namespace, self.name, f"room={self.name}")


@dataclass
class Stage:
    """The namespaces of one life, and the operators that serve it."""

    room: Room
    namespace: str
    system: str
    operators: list["Kept"] = field(default_factory=list)

    @property
    def client(self) -> Client:
        return self.room.client

    @asynccontextmanager
    async def operator(
        self, name: str = "operator-a", prepare: Callable[[FaultProxy], None] | None = None
    ) -> AsyncIterator["Kept"]:
        """An operator behind a proxy of its own, started again whenever it dies, as its Deployment would."""
        proxy = await fault_proxy(self.room.made.kubeconfig, self.room.view(self.namespace))
        if prepare is not None:
            prepare(proxy)
        folder = self.room.folder / self.namespace
        folder.mkdir(exist_ok=True)
        settings = {
            **SETTINGS,
            "operatorNamespace": self.system,
            "cycle": {**SETTINGS["cycle"], "resync": RESYNC_SECONDS},
            # A busy machine is no dead trainer.
            "handshake": {**SETTINGS["handshake"], "httpTimeout": 10},
        }
        async with AsyncExitStack() as closing:
            kubeconfig = await closing.enter_async_context(proxy.serving(folder, name))
            kept = Kept(self.room.forks, proxy, kubeconfig, folder, name, settings)
            closing.push_async_callback(kept.end)
            await kept.start()
            self.operators.append(kept)
            yield kept


class Kept:
    """An operator that is started again whenever it ends."""

    def __init__(
        self, forks: ForkServer, proxy: FaultProxy, kubeconfig: Path, folder: Path, name: str, settings: dict[str, Any]
    ) -> None:
        self.proxy = proxy
        self.starts = 0
        self._forks = forks
        self._start = (kubeconfig, folder, name, settings)
        self._keeper: asyncio.Task[None] | None = None
        self.process: Process

    async def start(self) -> None:
        """Start it, and keep it."""
        await self._begin()
        self._keeper = asyncio.create_task(self._keep(), name="keeper")

    async def end(self) -> None:
        """Kill it for good."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self.process.kill()
        await self.process.ended()

    async def cycles(self) -> float:
        """How many cycles the process of now has finished; 0 while it does not answer."""
        try:
            async with (
                aiohttp.ClientSession(f"http://127.0.0.1:{self.process.port}") as session,
                session.get("/metrics") as answer,
            ):
                text = await answer.text()
        except aiohttp.ClientError:
            return 0
        found = (line for line in text.splitlines() if line.startswith("farthing_cycle_duration_seconds_count"))
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    async def rests(self, cycles: int = 3) -> None:
        """Until several cycles in a row write nothing."""

        async def quiet() -> bool:
            before, target, process = len(self.proxy.log.answers), await self.cycles() + cycles, self.process

            async def turned() -> bool:
                return await self.cycles() >= target or self.process is not process

            await until(turned, f"{cycles} more cycles", PATIENCE_SECONDS)
            return len(self.proxy.log.answers) == before and self.process is process

        await until(quiet, "cycles without a write", PATIENCE_SECONDS)

    async def _begin(self) -> None:
        self.starts += 1
        self.proxy.new_process()
        self.process = await self._forks.start(*self._start)
        self.proxy.kill = self.process.kill

    async def _keep(self) -> None:
        while True:
            await self.process.ended()
            await self._begin()
