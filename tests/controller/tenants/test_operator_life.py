"""A whole life under the chart's rights, by the API server's own audit log: nothing was forbidden, and no right is idle."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.controller.conftest import SLOT
from tests.controller.test_operator import Stage, word
from tests.support.audit import Right, granted, requests_of
from tests.support.manifests import ACCOUNT, POOL, changed
from tests.support.operating import Operator
from tests.support.tenants import SYSTEM
from tests.support.waiting import until

from farthing.api import SpendRecord
from farthing.kube import resources as of
from farthing.kube.client import Client
from farthing.local.cluster import LocalCluster
from farthing.local.kwok import fake_gpu_nodes

pytestmark = pytest.mark.controller

OPERATOR = f"system:serviceaccount:{SYSTEM}:farthing"
LIFE = {"pool": "life"}
ELSEWHERE = {
    Right("", "events", "get"): "the same event again raises the count of the first: only after a crash between two writes",
    Right("", "events", "update"): "as above",
    Right(
        "", "events", "list"
    ): "what the Job controller says of pods that it cannot make (tests/controller/test_runtime_faults.py)",
    Right("", "pods", "delete"): "pods whose Job was deleted without them (tests/controller/test_orphans.py)",
    Right("", "pods", "get"): "whether a refused patch of a pod was a lost race",
    Right(
        "batch", "jobs", "get"
    ): "whether a Job of that name is the attempt's own, and whether a refused patch was a lost race",
}
"""Rights that this life leaves idle, and what needs them."""


class Life(Stage):
    """Jobs on a node of their own."""

    async def begin(self, name: str, **changes: object) -> None:
        """A job that wants the whole node."""
        wanted = {"accelerators": {"min": 4, "max": 4}, "poolSelector": {"matchLabels": LIFE}}
        await self.submit(name, **{"spec.compute": wanted, **changes})

    async def bills(self, name: str) -> list[SpendRecord]:
        return [record for record in await self.records() if record.spec.job.name == name]

    async def runs(self, name: str, number: int) -> SpendRecord:
        """Wait until that attempt's pods all run."""

        async def look() -> SpendRecord | None:
            bills = await self.bills(name)
            pods = [pod for pod in await self.pods() if pod["status"]["phase"] == "Running"]
            own = [pod for pod in pods if pod["metadata"]["labels"]["farthing.dev/job"] == name]
            return bills[-1] if bills and bills[-1].spec.number == number and len(own) == bills[-1].spec.pods else None

        return await until(look, f"attempt {number} of {name} runs", seconds=300)

    async def prepare(self, name: str) -> None:
        """See a job's first attempt through."""
        first = await self.runs(name, 1)
        product = {"preparedTokens": 10_000_000, "preparedDigest": "sha256:1"}
        await self.end_pods(word(first.spec.attempt, "Prepare", "Prepared", **product))

    async def land(self, name: str, number: int) -> None:
        """See its last attempt through."""
        train = await self.runs(name, number)
        await self.reaches("Running", name)
        await self.end_pods(word(train.spec.attempt, "Train", "Landed", step=10, tokens=10240, flops=1e9))


@pytest.fixture
async def life(charted: LocalCluster, client: Client, namespace: str, tmp_path: Path) -> AsyncIterator[Life]:
    """A node and a pool of its own, and an account."""
    fake_gpu_nodes(charted, 1, 4, SLOT, LIFE, name="life")
    rate = {"flopsPerSecond": "5e10", "source": "written by hand"}
    # Of this namespace alone: room may be kept on any pool that an older job of another test may use.
    own = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    sizes = {"acceleratorsPerNode": 4, "minNodes": 1, "maxNodes": 1}
    fields = {**sizes, "nodeSelector": LIFE, "rate": rate, "namespaceSelector": own}
    pool = changed(POOL, {"metadata.name": "life", "metadata.labels": LIFE, **{f"spec.{key}": fields[key] for key in fields}})
    charted.apply(pool, changed(ACCOUNT, {"metadata.namespace": namespace}))
    yield Life(charted, client, namespace, tmp_path)
    charted.kubectl("delete", "gpunodepool/life", "node/life-0")


async def test_a_whole_life_needs_every_right_and_no_other(charted: LocalCluster, running: Operator, life: Life) -> None:
    await _refused_by_a_quota(life)
    await _preempted_and_resumed(life)
    await _suspended_and_deleted(life)
    await life.nothing_left()

    asked = requests_of(charted, OPERATOR)
    assert [each for each in asked if not each.allowed] == []
    assert {each.message for each in asked if each.code == 403 and "exceeded quota" not in each.message} == set()
    assert "is forbidden: User" not in running.log.read_text()
    roles = charted.get("clusterrole", "farthing-operator"), charted.get("role", "farthing-operator", "-n", SYSTEM)
    held = granted(roles[0]) | granted(roles[1])
    assert set(ELSEWHERE) <= held
    idle = held - {each.right for each in asked} - set(ELSEWHERE)
    assert not idle, f"granted, and used by nothing: {', '.join(map(str, sorted(idle)))}"


async def _refused_by_a_quota(life: Life) -> None:
    """On an account; the refusal is told, and gone when the quota is."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": life.namespace}}
    path = f"/api/v1/namespaces/{life.namespace}/resourcequotas"
    await life.client.create(path, {**quota, "spec": {"hard": {"count/jobs.batch": "0"}}})

    async def in_force() -> bool:
        return bool(((await life.client.get(f"{path}/none")) or {}).get("status", {}).get("used"))

    await until(in_force, "quota counted")
    await life.begin("patient", **{"spec.budget.accountRef": {"name": "team-a"}, "spec.ttlSecondsAfterFinished": 1})
    assert "exceeded quota: none" in await life.stalls("Refused", "patient")
    await life.client.delete(f"{path}/none")
    await life.patch({"backoffLimit": 7}, "patient")
    await life.prepare("patient")
    await life.runs("patient", 2)


async def _preempted_and_resumed(life: Life) -> None:
    """Repriced, preempted by an urgent job that lands, resumed, landed, and removed after its time to live."""
    await life.client.patch(of.POOLS.path(None, "life"), {"spec": {"price": {"perAcceleratorHour": "0.6"}}})

    async def repriced() -> bool:
        return bool((await life.bills("patient"))[-1].status.quotes)

    await until(repriced, "the new price on the bill")
    await life.begin("urgent", **{"spec.priorityClassName": "urgent"})
    await life.prepare("urgent")
    await life.land("urgent", 2)
    await life.reaches("Complete", "urgent")
    await life.land("patient", 3)

    async def removed() -> bool:
        return await life.client.get(of.TRAINING_JOBS.path(life.namespace, "patient")) is None

    await until(removed, "the finished job to be removed")
    account = await life.client.get(of.ACCOUNTS.path(life.namespace, "team-a"))
    assert account is not None
    assert float(account["status"]["spent"]["cost"]) > 0
    assert not account["status"].get("holds")


async def _suspended_and_deleted(life: Life) -> None:
    await life.begin("doomed")
    await life.runs("doomed", 1)
    await life.patch({"suspend": True}, "doomed")
    await life.reaches("Suspended", "doomed")
    await life.patch({"suspend": False}, "doomed")
    await life.runs("doomed", 2)
    await life.client.delete(of.TRAINING_JOBS.path(life.namespace, "doomed"))

    async def settled() -> bool:
        return {bill.status.phase for bill in await life.bills("doomed")} == {"Settled"}

    await until(settled, "the bills to be settled")
