"""Every stream that the operator keeps open, and the caches they fill.

All pods are watched, not only ours: a node's free accelerators depend on every pod on it. Of foreign pods only what that sum
needs is kept. Of children only Services, as bare metadata: they are made first and deleted last, so one stands as long as any
child may. (Services, since whoever may list ConfigMaps or Secrets reads what tenants keep in them.)
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from farthing.contract.names import LABEL_ATTEMPT
from farthing.errors import Unreachable
from farthing.kube import resources as of
from farthing.kube.cache import Cache, Trim, drop_managed_fields
from farthing.kube.client import WATCH_SECONDS, Client
from farthing.kube.informer import Informer
from farthing.kube.resources import Resource

Changed = Callable[[Resource, str], None]

CATCH_UP_SECONDS: Final = 5.0
"""A watch event follows its write within milliseconds; a stream later than this is broken, and the cycle is tried again."""


def trim_pod(pod: dict[str, Any]) -> dict[str, Any]:
    """Ours whole, but for the sets of managed fields; of others what their node is charged."""
    if LABEL_ATTEMPT in (pod["metadata"].get("labels") or {}):
        managed = [
            {key: entry[key] for key in ("time", "subresource") if key in entry}
            for entry in pod["metadata"].get("managedFields") or ()
        ]
        return {**pod, "metadata": {**pod["metadata"], "managedFields": managed}}
    metadata = {name: pod["metadata"].get(name) for name in ("name", "namespace", "uid", "resourceVersion")}
    spec = pod.get("spec") or {}
    kept = {
        "nodeName": spec.get("nodeName"),
        "containers": [{"resources": each.get("resources")} for each in spec.get("containers") or ()],
        "initContainers": [{"resources": each.get("resources")} for each in spec.get("initContainers") or ()],
    }
    return {"metadata": metadata, "spec": kept, "status": {"phase": (pod.get("status") or {}).get("phase")}}


def trim_to_metadata(item: dict[str, Any]) -> dict[str, Any]:
    """Name and labels are all that is asked of it."""
    return {"metadata": drop_managed_fields(item)["metadata"]}


class Watches:
    """One informer a kind, each listed anew every `resync` seconds. `changed(resource, key)` is called with what changed."""

    def __init__(self, client: Client, changed: Changed, *, resync: float = WATCH_SECONDS) -> None:
        self._client = client
        self._resync = resync
        self._notify = changed
        self._moved = asyncio.Event()
        self._informers: list[Informer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.training_jobs = self._watch(of.TRAINING_JOBS)
        self.pools = self._watch(of.POOLS)
        self.accounts = self._watch(of.ACCOUNTS)
        self.records = self._watch(of.RECORDS)
        self.pods = self._watch(of.PODS, trim_pod)
        self.jobs = self._watch(of.JOBS, selector=LABEL_ATTEMPT)
        self.services = self._watch(of.SERVICES, selector=LABEL_ATTEMPT, metadata_only=True)
        self.nodes = self._watch(of.NODES)
        self.namespaces = self._watch(of.NAMESPACES, trim_to_metadata)
        self.claims = self._watch(of.CLAIMS)
        self.priority_classes = self._watch(of.PRIORITY_CLASSES)
        self.storage_classes = self._watch(of.STORAGE_CLASSES, trim_to_metadata)

    def _watch(
        self, resource: Resource, trim: Trim = drop_managed_fields, *, selector: str | None = None, metadata_only: bool = False
    ) -> Cache:
        cache = Cache(trim)
        self._informers.append(
            Informer(
                self._client,
                resource,
                cache,
                self._changed,
                selector=selector,
                metadata_only=metadata_only,
                resync=self._resync,
            )
        )
        return cache

    def _changed(self, resource: Resource, key: str) -> None:
        self._moved.set()
        self._notify(resource, key)

    @property
    def synced(self) -> bool:
        """Whether every cache was listed once."""
        return all(informer.synced.is_set() for informer in self._informers)

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """Kinds that were not listed yet."""
        return tuple(informer.resource.plural for informer in self._informers if not informer.synced.is_set())

    def ages(self) -> Mapping[str, float]:
        """Seconds since each stream was last heard."""
        return {informer.resource.plural: informer.age for informer in self._informers}

    def start(self) -> tuple["asyncio.Task[None]", ...]:
        """Open every stream; the tasks never end by themselves, so one that does is a bug that its owner must see."""
        self._tasks = [asyncio.create_task(each.run(), name=f"watch-{each.resource.plural}") for each in self._informers]
        return tuple(self._tasks)

    async def wait_synced(self) -> None:
        """Until every cache was listed once."""
        for informer in self._informers:
            await informer.synced.wait()

    async def catch_up(self) -> None:
        """Wait until the caches hold every write of this process: a cycle never decides on less than it has done itself.

        Raises Unreachable where a stream is too far behind.
        """
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                while self._behind():
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError as error:
            raise Unreachable(f"the watches of {', '.join(self._behind())} lag behind this operator's own writes") from error

    def _behind(self) -> tuple[str, ...]:
        written = self._client.written
        return tuple(
            each.resource.plural
            for each in self._informers
            if each.version < written.get((each.resource.api_version, each.resource.kind), 0)
        )

    async def stop(self) -> None:
        """Close every stream."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
