"""Jobs and their children deleted in every way that kubectl knows, with the operator dead or alive: pods end, their evidence
stays until the bill is settled, and then nothing is left. kwok plays the kubelet: a pod runs until it is deleted."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.controller.conftest import OPERATOR_NAMESPACE
from tests.controller.test_operator import Stage
from tests.support.bills import audit
from tests.support.evidence import Evidence
from tests.support.operating import chart_kubeconfig, operator
from tests.support.waiting import until

from farthing.contract.names import FINALIZER_LEDGER, LABEL_ATTEMPT
from farthing.kube import resources as of

pytestmark = pytest.mark.controller

Pods = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Deletion:
    """What a user types, and what becomes of the pods while no operator looks."""

    commands: tuple[tuple[str, ...], ...]
    pods_end: bool


DELETIONS = {
    "in the background": Deletion((("btj", "--all", "--cascade=background"),), pods_end=True),
    "in the foreground": Deletion((("btj", "--all", "--cascade=foreground"),), pods_end=True),
    "orphaning its children": Deletion((("btj", "--all", "--cascade=orphan"),), pods_end=False),
    "and its Job, each orphaning": Deletion(
        (("btj", "--all", "--cascade=orphan"), ("jobs", "--all", "--cascade=orphan")), pods_end=False
    ),
}


@pytest.fixture
async def stage(furnished, client, namespace, tmp_path) -> Stage:
    return Stage(furnished, client, namespace, tmp_path)


def delete(stage: Stage, *words: str) -> None:
    stage.made.kubectl("delete", "-n", stage.namespace, "--wait=false", *words)


def all_in(pods: Pods, *phases: str) -> bool:
    return bool(pods) and all(pod["status"]["phase"] in phases for pod in pods)


def held(pods: Pods) -> bool:
    return all(FINALIZER_LEDGER in pod["metadata"]["finalizers"] for pod in pods)


async def pods_are(stage: Stage, wanted: Callable[[Pods], bool], what: str) -> Pods:
    """Wait until the attempts' pods are like that."""

    async def look() -> Pods | None:
        pods = await stage.pods()
        return pods if wanted(pods) else None

    return await until(look, what)


async def runs(stage: Stage) -> None:
    """Wait until the first attempt's pods run."""
    await stage.reaches("Preparing")
    await pods_are(stage, lambda pods: all_in(pods, "Running"), "pods that run")


async def audited(stage: Stage, evidence: Evidence) -> None:
    """Every bill of the namespace agrees to the second with what Kubernetes said of the pods."""
    records = await stage.client.list_items(of.RECORDS.path(stage.namespace))
    for uid in {record["spec"]["job"]["uid"] for record in records}:
        own = [record for record in records if record["spec"]["job"]["uid"] == uid]
        bills = await asyncio.to_thread(audit, evidence, own)
        assert sum(bill.seconds for bill in bills.values()) > 0


@pytest.mark.parametrize("deletion", DELETIONS.values(), ids=DELETIONS)
async def test_a_job_deleted_while_the_operator_is_dead_is_settled_by_the_next_one(stage, deletion):
    with Evidence(stage.made.kubeconfig, stage.namespace) as evidence:
        await stage.submit()
        with operator(stage.made, stage.folder) as first:
            await runs(stage)
            first.end(signal.SIGKILL)
        for words in deletion.commands:
            delete(stage, *words)
        phases = ("Failed",) if deletion.pods_end else ("Running",)
        left = await pods_are(stage, lambda pods: all_in(pods, *phases), f"pods that are {phases}")
        assert held(left), "their times and last words stay"

        with operator(stage.made, stage.folder):
            (bill,) = await stage.settled(1)
            await stage.nothing_left()
        assert bill.status.outcome == "Deleted"
        await audited(stage, evidence)


async def test_orphans_that_ended_by_themselves_are_billed_and_removed(stage):
    """Nobody owns them and nobody deleted them: terminal pods would stand for ever."""
    with Evidence(stage.made.kubeconfig, stage.namespace) as evidence:
        await stage.submit()
        with operator(stage.made, stage.folder) as first:
            await runs(stage)
            first.end(signal.SIGKILL)
        for kind in ("btj", "jobs"):
            delete(stage, kind, "--all", "--cascade=orphan")
        await pods_are(
            stage, lambda pods: not any(pod["metadata"].get("ownerReferences") for pod in pods), "pods without owner"
        )
        await stage.end_pods({}, exit_code=143)

        with operator(stage.made, stage.folder):
            await stage.settled(1)
            await stage.nothing_left()
        await audited(stage, evidence)


async def test_pods_whose_job_was_deleted_without_them_are_ended(stage):
    """The user takes an attempt's Job away and leaves its pods: nothing but their own deadlines would end them. The operator
    has the chart's rights and no more."""
    kubeconfig = chart_kubeconfig(stage.made, OPERATOR_NAMESPACE, stage.folder)
    with Evidence(stage.made.kubeconfig, stage.namespace) as evidence:
        await stage.submit()
        with operator(stage.made, stage.folder, kubeconfig=kubeconfig) as running:
            await runs(stage)
            (first,) = await stage.records()
            delete(stage, "jobs", "--all", "--cascade=orphan")
            (bill,) = await stage.settled(1)
            assert (bill.spec.attempt, bill.status.outcome) == (first.spec.attempt, "Disrupted")
            await pods_are(stage, lambda pods: not any(of_attempt(pod, first.spec.attempt) for pod in pods), "its pods gone")
            assert "EndPods" in [entry.action for entry in (await stage.job()).status.decisions]
            delete(stage, "btj", "--all")
            await stage.settled(2)
            await stage.nothing_left()
        assert " cannot " not in running.log.read_text(), "RBAC refused something"
        await audited(stage, evidence)


def of_attempt(pod: dict[str, Any], attempt: str) -> bool:
    return pod["metadata"]["labels"][LABEL_ATTEMPT] == attempt


async def test_a_namespace_deleted_while_the_operator_is_dead_goes_as_soon_as_its_bills_are_settled(stage):
    """Pods go first and wait for their bill; jobs, accounts and records go after them, with the namespace."""
    name = f"{stage.namespace}-doomed"
    doomed = replace(stage, namespace=name)
    stage.made.kubectl("create", "namespace", name)
    with Evidence(stage.made.kubeconfig, name) as evidence:
        await doomed.submit()
        with operator(stage.made, stage.folder) as first:
            await runs(doomed)
            first.end(signal.SIGKILL)
        stage.made.kubectl("delete", "namespace", name, "--wait=false")
        left = await pods_are(doomed, lambda pods: all_in(pods, "Failed"), "pods ended with their namespace")
        assert held(left)
        (record,) = await doomed.records()
        assert record.status.phase == "Open", "the bill outlives the pods that it is made from"

        with operator(stage.made, stage.folder) as second:
            await until(lambda: gone(stage, name), "the namespace to be gone")
            assert second.process.poll() is None
        assert all(sighting.gone_at for sighting in (*evidence.pods.values(), *evidence.jobs.values()))


async def gone(stage: Stage, namespace: str) -> bool:
    return await stage.client.get(of.NAMESPACES.path(name=namespace)) is None
