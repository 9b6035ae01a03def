"""Asking the operator, over its own Lease, to checkpoint, stop and settle every attempt: what comes before its end."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from farthing.contract.names import ANNOTATION_DRAIN
from farthing.kube.resources import LEASES, RECORDS, Resource

POLL_SECONDS = 1.0
LEASE_SECONDS = 10.0
"""A lease that does not say how long it lasts (`settings.LeadershipSettings`)."""
RENEWALS = 3
"""Renewals seen after the request before an empty ledger counts: a cycle that began before it may still open an attempt."""


class Reads(Protocol):
    """What a drain needs of a cluster; `cli.cluster.Cluster` has it."""

    def find(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """The object, or None."""

    def every(self, resource: Resource, namespace: str | None, selector: str | None = None) -> list[dict[str, Any]]:
        """Every object of the cluster."""

    def patch(self, resource: Resource, item: dict[str, Any], change: dict[str, Any]) -> None:
        """Merge a change into an object."""


@dataclass
class Renewals:
    """What was seen of one holder's renewals; times are this process's own."""

    holder: str
    last: str
    at: float
    count: int = 0

    def see(self, renewed: str, now: float) -> None:
        """The lease as it was read."""
        if renewed != self.last:
            self.last, self.at, self.count = renewed, now, self.count + 1


def drain(
    cluster: Reads,
    lease: str,
    namespace: str,
    seconds: float,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Wait until no bill is open, and say in words how it ended. Gives up after `seconds`, and at once where nobody leads.

    The holder is named in the request, so that another operator, and the next release, do not obey it.
    """
    deadline = monotonic() + seconds
    seen: Renewals | None = None
    while True:
        found = cluster.find(LEASES, lease, namespace)
        spec = (found or {}).get("spec") or {}
        holder, renewed = spec.get("holderIdentity") or "", str(spec.get("renewTime"))
        if found is None or not holder:
            return "no operator leads: nothing was asked to stop"
        now = monotonic()
        if seen is None or seen.holder != holder:
            seen = Renewals(holder, renewed, now)
            cluster.patch(LEASES, found, {"metadata": {"annotations": {ANNOTATION_DRAIN: holder}}})
        seen.see(renewed, now)
        if now - seen.at > float(spec.get("leaseDurationSeconds") or LEASE_SECONDS):
            return f"{holder} renews its lease no more: nothing was asked to stop"
        still = _open_bills(cluster)
        if not still and seen.count >= RENEWALS:
            return "every attempt has stopped and is settled"
        if now > deadline:
            return f"{len(still)} attempts not settled after {seconds:g} s: {', '.join(sorted(still)[:5])}"
        sleep(POLL_SECONDS)


def _open_bills(cluster: Reads) -> list[str]:
    return [record["spec"]["attempt"] for record in cluster.every(RECORDS, None) if _is_open(record)]


def _is_open(record: dict[str, Any]) -> bool:
    return bool((record.get("status") or {}).get("phase", "Open") == "Open")
