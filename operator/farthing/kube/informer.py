"""List once, then watch: keeps a cache as fresh as the API server's own, and says how old its knowledge is."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from farthing.errors import ClusterError, Refused
from farthing.kube.cache import Cache
from farthing.kube.client import WATCH_SECONDS, Client, Gone
from farthing.kube.resources import Resource

log = logging.getLogger(__name__)

FIRST_DELAY_SECONDS: Final = 0.5
LAST_DELAY_SECONDS: Final = 30.0
EARLIEST_RESYNC: Final = 0.8
"""Share of the resync after which a list may come, so that those of all kinds do not come together."""


class Informer:
    """One stream of one kind into one cache. `changed` is called with each key, from the event loop."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        cache: Cache,
        changed: Callable[[Resource, str], None],
        *,
        selector: str | None = None,
        metadata_only: bool = False,
        resync: float = WATCH_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.resource = resource
        self.cache = cache
        self.synced = asyncio.Event()
        """Set after the first whole list."""
        self._client = client
        self._changed = changed
        self._selector = selector
        self._metadata_only = metadata_only
        self._resync = resync
        self._list_due = 0.0
        self._monotonic = monotonic
        self._heard = monotonic()
        self._version: str | None = None

    @property
    def age(self) -> float:
        """Seconds since the last list, event or bookmark."""
        return self._monotonic() - self._heard

    @property
    def version(self) -> int:
        """The newest resourceVersion that the stream told of; 0 before the first list."""
        return int(self._version or 0)

    async def run(self) -> None:
        """Until cancelled: list, watch, resume where a watch broke off. List again where its version is too old, and every
        `resync` seconds: an event that was lost on the way is missed no longer than that."""
        failures = 0
        while True:
            try:
                await self._once()
                failures = 0
            except Gone:
                self._version = None
            except ClusterError as error:
                failures += 1
                level = logging.ERROR if isinstance(error, Refused) else logging.WARNING
                log.log(level, "%s: %s", self.resource.plural, error)
                await asyncio.sleep(delay(failures))

    async def _once(self) -> None:
        """A list where one is due or the version is unknown, then one watch to its end."""
        path, now = self.resource.path(), self._monotonic()
        if self._version is None or now >= self._list_due:
            items, self._version = await self._client.list_versioned(
                path, selector=self._selector, metadata_only=self._metadata_only
            )
            self._heard = now = self._monotonic()
            self._list_due = now + self._resync * random.uniform(EARLIEST_RESYNC, 1.0)
            for key in self.cache.replace(items):
                self._changed(self.resource, key)
            self.synced.set()
        stream = self._client.watch(
            path, self._version, selector=self._selector, metadata_only=self._metadata_only, seconds=self._list_due - now
        )
        async with aclosing(stream):
            async for event in stream:
                self._take(event["type"], event["object"])

    def _take(self, kind: str, item: dict[str, object]) -> None:
        self._heard = self._monotonic()
        metadata = item["metadata"]
        assert isinstance(metadata, dict)
        # Never back: events that came in the wrong order must not be asked for again.
        self._version = str(max(self.version, int(metadata["resourceVersion"])))
        if kind != "BOOKMARK":
            self._changed(self.resource, self.cache.apply(kind, item))


def delay(failures: int) -> float:
    """Seconds before the next try: doubled each time up to LAST_DELAY_SECONDS, with full jitter against herds."""
    bound = min(LAST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** min(failures, 10))
    return random.uniform(bound / 2, bound)
