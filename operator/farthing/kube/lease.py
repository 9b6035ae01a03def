"""One leader at a time by a coordination.k8s.io Lease, and the fence that every write passes.

A leader that could not renew for two thirds of the lease stops acting, before anybody else may begin: another one takes over
only after it has seen the same renewal for the whole lease on its own clock. Clocks of two machines are never compared.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from farthing.clock import Clock
from farthing.contract.names import ANNOTATION_DRAIN
from farthing.errors import ClusterError, Conflict
from farthing.kube.client import Client
from farthing.kube.resources import LEASES

log = logging.getLogger(__name__)

ACT_SHARE: Final = 2 / 3
"""Share of the lease in which its holder may act without a renewal (DESIGN 4)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody's renewal, and until when it keeps others out as seen from here (monotonic seconds)."""

    version: str
    until: float


class Leadership:
    """Takes, keeps and gives back the lease `name` in `namespace` for `identity`."""

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        clock: Clock,
        duration: float = 10.0,
        renew_every: float = 2.0,
        changed: Callable[[bool], None] = lambda leading: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity = identity
        self._client = client
        self._namespace = namespace
        self._name = name
        self._clock = clock
        self._duration = duration
        self._renew_every = renew_every
        self._changed = changed
        self._monotonic = monotonic
        self._renewed: float | None = None
        self._seen: Seen | None = None
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether somebody wrote on the lease that this very process is to stop every attempt (ANNOTATION_DRAIN)."""
        return self._draining

    @property
    def leading(self) -> bool:
        """Whether this process may act now."""
        return self._renewed is not None and self._monotonic() - self._renewed < self._duration * ACT_SHARE

    def fence(self) -> None:
        """Raise Conflict unless this process may act now; the client calls it before each write."""
        if not self.leading:
            raise Conflict(f"{self.identity} does not hold the lease {self._namespace}/{self._name}")

    async def run(self) -> None:
        """Until cancelled: try to take or renew the lease. A failure is tried again; the fence does the rest."""
        while True:
            before = (self.leading, self.draining)
            try:
                await self.try_once()
            except ClusterError as error:
                log.warning("lease %s: %s", self._name, error)
            if (self.leading, self.draining) != before:
                log.info("%s %s%s", self.identity, "leads" if self.leading else "stands by", ", drained" * self.draining)
                self._changed(self.leading)
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        """Seconds to the next try: a renewal period, or less for a standby that may take over before that."""
        left = self._seen.until - self._monotonic() if self._renewed is None and self._seen is not None else 0.0
        return left if 0.0 < left < self._renew_every else self._renew_every

    async def try_once(self) -> bool:
        """Take or renew the lease if that is allowed now; whether this process leads."""
        started = self._monotonic()
        lease = await self._client.get(LEASES.path(self._namespace, self._name))
        if lease is None:
            written = await self._client.create(LEASES.path(self._namespace), self._manifest(None), fenced=False)
        elif self._may_take(lease):
            written = await self._client.replace(LEASES.of(lease), self._manifest(lease), fenced=False)
        else:
            self._renewed = None
            return False
        self._draining = (written["metadata"].get("annotations") or {}).get(ANNOTATION_DRAIN) == self.identity
        # From before the request: the answer may have been long under way.
        self._renewed = started
        self._seen = Seen(written["metadata"]["resourceVersion"], started + self._duration)
        return True

    async def release(self) -> None:
        """Give the lease back, so that the next operator need not wait for its end."""
        held = self.leading
        self._renewed = None
        lease = await self._client.get(LEASES.path(self._namespace, self._name)) if held else None
        if lease is not None and lease["spec"].get("holderIdentity") == self.identity:
            lease["spec"]["holderIdentity"] = ""
            await self._client.replace(LEASES.of(lease), lease, fenced=False)

    def _may_take(self, lease: dict[str, Any]) -> bool:
        """It is ours, or nobody's, or was not renewed for its whole duration since it was first seen here."""
        holder = lease["spec"].get("holderIdentity")
        version = lease["metadata"]["resourceVersion"]
        if self._seen is None or self._seen.version != version:
            lasts = float(lease["spec"].get("leaseDurationSeconds", self._duration))
            self._seen = Seen(version, self._monotonic() + lasts)
        if not holder or holder == self.identity:
            return True
        return self._monotonic() >= self._seen.until

    def _manifest(self, previous: dict[str, Any] | None) -> dict[str, Any]:
        now = self._clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        before = previous["spec"] if previous else {}
        same = before.get("holderIdentity") == self.identity
        metadata: dict[str, Any] = {"name": self._name, "namespace": self._namespace}
        if previous:
            metadata["resourceVersion"] = previous["metadata"]["resourceVersion"]
            metadata["annotations"] = previous["metadata"].get("annotations") or {}
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": round(self._duration),
                "acquireTime": before.get("acquireTime", now) if same else now,
                "renewTime": now,
                "leaseTransitions": int(before.get("leaseTransitions", 0)) + (0 if same or not previous else 1),
            },
        }
