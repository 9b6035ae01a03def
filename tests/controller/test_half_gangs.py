"""Gangs of which one pod never starts: ended by `startupTimeout`, and what was held until then is billed, as waste.

The pods refuse each other's company by anti-affinity, which the operator's own arithmetic does not know: it finds room for
both. Where the scheduler knows gangs it places none; elsewhere it places one, and the other waits for ever.
"""

import asyncio
from decimal import Decimal

import pytest
from tests.controller.conftest import SLOT, new_namespace
from tests.controller.test_operator import Stage, word
from tests.support.bills import audit
from tests.support.evidence import Evidence
from tests.support.manifests import POOL, changed
from tests.support.operating import operator
from tests.support.waiting import until

from farthing.api.conditions import ConditionType, Reason, find
from farthing.contract.names import LABEL_STAGE
from farthing.kube import resources as of
from farthing.kube.client import Client
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


@pytest.fixture(params=["furnished", "furnished_without_gangs"], ids=["native gangs", "suspended Jobs"])
async def stage(request, tmp_path):
    """A namespace, and a pool of two nodes with one slot each, so that two accelerators are two pods."""
    made = request.getfixturevalue(request.param)
    fake_gpu_nodes(made, 2, 1, SLOT, {"pool": "singles"}, name="single")
    fields = {"acceleratorsPerNode": 1, "minNodes": 2, "maxNodes": 2, "nodeSelector": {"pool": "singles"}}
    rate = {"flopsPerSecond": "5e10", "source": "written by hand"}
    singles = changed(POOL, {f"spec.{name}": value for name, value in {**fields, "rate": rate}.items()})
    made.apply(changed(singles, {"metadata": {"name": "singles", "labels": {"pool": "singles"}}}))
    async with await Client.connect(made.kubeconfig) as client:
        with new_namespace(made) as namespace:
            yield Stage(made, client, namespace, tmp_path)
    made.kubectl("delete", "gpunodepool", "singles")
    made.kubectl("delete", "node", "single-0", "single-1")


async def test_a_gang_of_which_one_pod_never_starts_is_ended_and_billed_as_waste(stage):
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
        _, train = await stage.settled(2)
        placed = sum(
            bound(sighting.versions[-1]) for sighting in evidence.pods.values() if sighting.attempt == train.spec.attempt
        )
        if placed:
            await half_a_gang(stage, train)
        else:
            assert train.status.outcome == "NeverStarted"
            assert "didn't match pod anti-affinity rules" in train.status.message
            assert train.status.charged.cost in (None, "0")
        await stage.client.delete(of.TRAINING_JOBS.path(stage.namespace, "tiny"))
        await stage.nothing_left()
        raw = await stage.client.list_items(of.RECORDS.path(stage.namespace))
        await asyncio.to_thread(audit, evidence, [each for each in raw if each["status"]["phase"] == "Settled"])


async def prepared(stage: Stage) -> None:
    """Play the prepare attempt to its end."""

    async def running() -> bool:
        pods = await stage.pods()
        return bool(pods) and all(pod["status"]["phase"] == "Running" for pod in pods)

    await until(running, "the prepare attempt to run")
    (prepare,) = await stage.records()
    product = {"preparedTokens": 10_000_000, "preparedDigest": "sha256:1"}
    await stage.end_pods(word(prepare.spec.attempt, "Prepare", "Prepared", **product))


async def half_a_gang(stage, train):
    """One pod held its accelerator for nothing until the timeout: on the bill, as start-up, and charged to backoffLimit."""
    held = sum(interval.seconds for interval in train.status.intervals)
    assert train.status.outcome == "PodsReadyTimeout"
    assert train.status.message.startswith(f"not every pod was ready within {TIMEOUT_SECONDS} s")
    assert held >= TIMEOUT_SECONDS - 1
    assert Decimal(train.status.waste.startup) == held
    assert Decimal(train.status.charged.cost) > 0
    job = await stage.reaches("Failed")
    failed = find(job.status.conditions, ConditionType.FAILED)
    assert failed.reason == Reason.BACKOFF_LIMIT_EXCEEDED
    assert "not every pod was ready" in failed.message
    ended = [entry for entry in job.status.decisions if entry.reason == Reason.PODS_READY_TIMEOUT]
    assert "Unschedulable" in ended[-1].message


def bound(pod) -> bool:
    return bool(pod["spec"].get("nodeName"))
