"""What Kubernetes itself says of attempts while a test runs: every version of their pods and Jobs, as a watch told of them.

The independent fold over it is `tests.support.bills`.
"""

import asyncio
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

from tests.support.waiting import until

from farthing.contract.names import LABEL_ATTEMPT, LABEL_JOB_UID
from farthing.errors import Unreachable
from farthing.kube.client import Client, Gone
from farthing.kube.resources import JOBS, PODS, Resource

AGAIN_SECONDS = 0.1
"""Before a broken watch is taken up again: terminal pods stand only until their bill is settled."""


@dataclass(slots=True)
class Sighting:
    """One object: every version of it that was seen, oldest first, and when it was found gone, by this machine's clock."""

    versions: list[dict[str, Any]] = field(default_factory=list)
    gone_at: datetime | None = None

    @property
    def attempt(self) -> str:
        """Name of the attempt that it belongs to."""
        return str(self.versions[-1]["metadata"]["labels"][LABEL_ATTEMPT])

    @property
    def job_uid(self) -> str:
        """UID of the training job that it belongs to."""
        return str(self.versions[-1]["metadata"]["labels"][LABEL_JOB_UID])

    @property
    def version(self) -> int:
        """The newest resourceVersion. They count as integers (KEP-5504, since 1.35)."""
        return int(self.versions[-1]["metadata"]["resourceVersion"])


@dataclass(slots=True)
class Evidence:
    """Pods and Jobs of attempts in a namespace by UID, recorded from entering the context to leaving it."""

    kubeconfig: Path
    namespace: str
    pods: dict[str, Sighting] = field(default_factory=dict)
    jobs: dict[str, Sighting] = field(default_factory=dict)
    _recorder: threading.Thread | None = None
    _leave: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._recorder = threading.Thread(target=lambda: asyncio.run(self._record()), name="evidence")
        self._recorder.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        assert self._recorder is not None
        self._recorder.join()

    def catch_up(self) -> None:
        """Wait until the watches have told of everything that has happened so far."""
        asyncio.run(self._catch_up())

    async def _catch_up(self) -> None:
        async with await Client.connect(self.kubeconfig) as client:
            for resource, seen in ((PODS, self.pods), (JOBS, self.jobs)):
                items, listed = await client.list_versioned(resource.path(self.namespace), selector=LABEL_ATTEMPT)
                versions = {item["metadata"]["uid"]: int(item["metadata"]["resourceVersion"]) for item in items}
                await until(partial(_knows, seen, versions, int(listed)), f"the watch of {resource.plural} to catch up")

    async def _record(self) -> None:
        """Record both kinds until the context is left."""
        async with await Client.connect(self.kubeconfig) as client:
            watches = [
                asyncio.create_task(self._follow(client, resource, seen))
                for resource, seen in ((PODS, self.pods), (JOBS, self.jobs))
            ]
            await asyncio.to_thread(self._leave.wait)
            for watch in watches:
                watch.cancel()
            ended = await asyncio.gather(*watches, return_exceptions=True)
        broken = [error for error in ended if not isinstance(error, asyncio.CancelledError)]
        assert not broken, f"the recorder of evidence broke: {broken}"

    async def _follow(self, client: Client, resource: Resource, seen: dict[str, Sighting]) -> None:
        """List, watch, and begin anew whenever the API server went away."""
        path = resource.path(self.namespace)
        while True:
            try:
                items, version = await client.list_versioned(path, selector=LABEL_ATTEMPT)
                _note_all(seen, items)
                async for event in client.watch(path, version, selector=LABEL_ATTEMPT):
                    if event["type"] != "BOOKMARK":
                        _note(seen, event["object"], gone=event["type"] == "DELETED")
            except (Unreachable, Gone):
                await asyncio.sleep(AGAIN_SECONDS)


async def _knows(seen: dict[str, Sighting], versions: dict[str, int], listed: int) -> bool:
    """Whether every present object was seen in that version, or a newer one, and every older one is known to be gone."""
    absent = [each for uid, each in list(seen.items()) if uid not in versions and each.version <= listed]
    present = all(uid in seen and seen[uid].version >= version for uid, version in versions.items())
    return present and all(each.gone_at is not None for each in absent)


def _note_all(seen: dict[str, Sighting], items: list[dict[str, Any]]) -> None:
    """A list tells also of what is gone."""
    for item in items:
        _note(seen, item, gone=False)
    present = {item["metadata"]["uid"] for item in items}
    for uid, sighting in seen.items():
        if uid not in present and sighting.gone_at is None:
            sighting.gone_at = datetime.now(UTC)


def _note(seen: dict[str, Sighting], item: dict[str, Any], *, gone: bool) -> None:
    sighting = seen.setdefault(item["metadata"]["uid"], Sighting())
    if not sighting.versions or sighting.version != int(item["metadata"]["resourceVersion"]):
        sighting.versions.append(item)
    if gone:
        sighting.gone_at = datetime.now(UTC)
