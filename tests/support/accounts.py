"""Every version of an account while a test runs, as a watch told of them, and what must hold in each: spent and held together
never pass the limit, and what is spent never gets less."""

import asyncio
import threading
from contextlib import aclosing
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from tests.support.waiting import until

from farthing.errors import Unreachable
from farthing.kube.client import Client, Gone
from farthing.kube.resources import ACCOUNTS

AGAIN_SECONDS = 0.1


@dataclass(slots=True)
class AccountHistory:
    """One TrainingBudget, recorded from entering the context to leaving it; it may be made later."""

    kubeconfig: Path
    namespace: str
    name: str
    versions: list[dict[str, Any]] = field(default_factory=list)
    _recorder: threading.Thread | None = None
    _leave: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._recorder = threading.Thread(target=lambda: asyncio.run(self._record()), name="account-history")
        self._recorder.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        assert self._recorder is not None
        self._recorder.join()

    def check(self, axis: str = "cost") -> list[Fraction]:
        """What was spent in each version, oldest first. AssertionError where a version is over, or spent less than before."""
        asyncio.run(self._catch_up())
        assert len(self.versions) > 1, f"account {self.name} never changed"
        for version in self.versions:
            limit = Fraction(version["spec"]["limits"][axis])
            assert spent(version, axis) + held(version, axis) <= limit, f"over {limit}: {version['status']}"
        told = [spent(version, axis) for version in self.versions]
        assert all(before <= after for before, after in pairwise(told)), f"refunded: {[float(each) for each in told]}"
        return told

    async def _catch_up(self) -> None:
        async with await Client.connect(self.kubeconfig) as client:
            newest = await client.get(ACCOUNTS.path(self.namespace, self.name))

        async def told() -> bool:
            return newest is None or any(_version(each) >= _version(newest) for each in self.versions)

        await until(told, f"the watch of account {self.name} to catch up")

    async def _record(self) -> None:
        async with await Client.connect(self.kubeconfig) as client:
            watch = asyncio.create_task(self._follow(client))
            await asyncio.to_thread(self._leave.wait)
            watch.cancel()
            (ended,) = await asyncio.gather(watch, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), f"the recorder of accounts broke: {ended}"

    async def _follow(self, client: Client) -> None:
        """List, watch, and begin anew whenever the API server went away."""
        path = ACCOUNTS.path(self.namespace)
        while True:
            try:
                items, version = await client.list_versioned(path)
                for item in items:
                    self._note(item)
                async with aclosing(client.watch(path, version)) as events:
                    async for event in events:
                        if event["type"] in ("ADDED", "MODIFIED"):
                            self._note(event["object"])
            except (Unreachable, Gone):
                await asyncio.sleep(AGAIN_SECONDS)

    def _note(self, item: dict[str, Any]) -> None:
        known = self.versions and _version(self.versions[-1]) >= _version(item)
        if item["metadata"]["name"] == self.name and not known:
            self.versions.append(item)


def spent(account: dict[str, Any], axis: str) -> Fraction:
    """The closing balance."""
    return Fraction(((account.get("status") or {}).get("settled") or {}).get(axis, "0"))


def held(account: dict[str, Any], axis: str) -> Fraction:
    """The sum of the holds."""
    holds = (account.get("status") or {}).get("holds") or ()
    return sum((Fraction(hold["amounts"].get(axis, "0")) for hold in holds), Fraction(0))


def _version(item: dict[str, Any]) -> int:
    """resourceVersions count as integers (KEP-5504, since 1.35)."""
    return int(item["metadata"]["resourceVersion"])
