"""Gangs of which one pod never starts: ended by `startupTimeout`, and what was held until then is billed, as waste.

The pods refuse each other's company by anti-affinity, which the operator's own arithmetic does not know: it finds room for
both. Where the scheduler knows gangs it places none; elsewhere it places one, and the other waits for ever.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from tests.controller.conftest import SLOT, new_namespace
from tests.controller.test_operator import Stage, word
from tests.support.bills import audit
from tests.support.evidence import Evidence
from tests.support.manifests import POOL, changed
from tests.support.operating import operator
from tests.support.waiting import until

from farthing.api import BudgetedTrainingJob, SpendRecord
from farthing.api.conditions import ConditionType, Reason, find
from farthing.contract.names import LABEL_STAGE
from farthing.kube import resources as of
from farthing.kube.client import Client
from farthing.local.cluster import LocalCluster
from farthing.local.kwok import fake_gpu_nodes

pytestmark = pytest.mark.controller

TIMEOUT_SECONDS = 5
ALONE = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/os", "labelSelector": {"matchLabels": {LABEL_STAGE: "Train"}}}
        ]
    }
}


@pytest.fixture
async def with_gangs(furnished, tmp_path):
    async with staged(furnished, tmp_path) as stage:
        yield stage


@pytest.fixture
async def without_gangs(furnished_without_gangs, tmp_path):
    async with staged(furnished_without_gangs, tmp_path) as stage:
        yield stage


@asynccontextmanager
async def staged(made: LocalCluster, folder: Path) -> AsyncIterator[Stage]:
    """A namespace, and a pool of two nodes with one slot each, so that two accelerators are two pods."""
    fake_gpu_nodes(made, 2, 1, SLOT, {"pool": "singles"}, name="single")
    fields = {"acceleratorsPerNode": 1, "minNodes": 2, "maxNodes": 2, "nodeSelector": {"pool": "singles"}}
    rate = {"flopsPerSecond": "5e10", "source": "written by hand"}
    singles = changed(POOL, {f"spec.{name}": value for name, value in {**fields, "rate": rate}.items()})
    made.apply(changed(singles, {"metadata": {"name": "singles", "labels": {"pool": "singles"}}}))
    async with await Client.connect(made.kubeconfig) as client:
        with new_namespace(made) as namespace:
            yield Stage(made, client, namespace, folder)
    made.kubectl("delete", "gpunodepool", "singles")
    made.kubectl("delete", "node", "single-0", "single-1")


async def too_late(stage: Stage) -> tuple[BudgetedTrainingJob, SpendRecord]:
    """Play the job until its train attempt ran into the startup timeout, and delete it; how both stood at the end.

    Every bill is held against the evidence.
    """
    with Evidence(stage.made.kubeconfig, stage.namespace) as evidence, operator(stage.made, stage.folder):
        await stage.submit(
            **{
                "spec.compute.startupTimeout": f"{TIMEOUT_SECONDS}s",
                "spec.compute.poolSelector": {"matchLabels": {"pool": "singles"}},
                "spec.template": {"affinity": ALONE},
                "spec.backoffLimit": 0,
            }
        )
        await prepared(stage)
        _, train, *_ = await stage.settled(2)
        job = await until(lambda: told(stage, train.spec.attempt), "the job to tell of it")
        await stage.client.delete(of.TRAINING_JOBS.path(stage.namespace, "tiny"))
        await stage.nothing_left()
        records = await stage.client.list_items(of.RECORDS.path(stage.namespace))
        await asyncio.to_thread(audit, evidence, records)
    return job, train


async def prepared(stage: Stage) -> None:
    """Play the prepare attempt to its end."""

    async def running() -> bool:
        pods = await stage.pods()
        return bool(pods) and all(pod["status"]["phase"] == "Running" for pod in pods)

    await until(running, "the prepare attempt to run")
    (prepare,) = await stage.records()
    product = {"preparedTokens": 10_000_000, "preparedDigest": "sha256:1"}
    await stage.end_pods(word(prepare.spec.attempt, "Prepare", "Prepared", **product))


async def told(stage: Stage, attempt: str) -> BudgetedTrainingJob | None:
    """The job, once its status knows that the attempt is settled."""
    job = await stage.job()
    settled = [each.name for each in job.status.attempts if each.phase == "Settled"]
    return job if attempt in settled else None


async def test_half_a_gang_is_billed_as_waste_and_counts_as_a_failure(without_gangs):
    job, train = await too_late(without_gangs)

    held = sum(interval.seconds for interval in train.status.intervals)
    assert train.status.outcome == "PodsReadyTimeout"
    assert train.status.message.startswith(f"not every pod was ready within {TIMEOUT_SECONDS} s")
    assert held >= TIMEOUT_SECONDS - 1
    assert Decimal(train.status.waste.startup) == held
    assert Decimal(train.status.charged.cost) > 0
    failed = find(job.status.conditions, ConditionType.FAILED)
    assert (job.status.state, failed.reason) == ("Failed", Reason.BACKOFF_LIMIT_EXCEEDED)
    assert "not every pod was ready" in failed.message
    assert "Unschedulable" in failed.message, "whoever reads the condition knows what to mend"
    assert "Unschedulable" in why_ended(job)


async def test_a_gang_that_is_placed_whole_or_not_at_all_costs_nothing_while_it_waits(with_gangs):
    job, train = await too_late(with_gangs)

    assert train.status.outcome == "NeverStarted"
    assert "minCount (2) cannot be satisfied" in train.status.message
    assert train.status.charged.cost == "0"
    assert job.status.state != "Failed", "nobody failed: it waits on"
    assert "not every pod" in why_ended(job)


def why_ended(job: BudgetedTrainingJob) -> str:
    """What the decision log says of the attempt's end."""
    (entry,) = [entry for entry in job.status.decisions if entry.reason == Reason.PODS_READY_TIMEOUT]
    return entry.message
