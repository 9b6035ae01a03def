"""The operator's process on a real control plane. kwok plays the kubelet; how a container ends is written into its pod's status
by the test, as a kubelet would write it."""

import json
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.controller.conftest import OPERATOR_NAMESPACE, new_namespace
from tests.support.manifests import JOB, RECORD, changed
from tests.support.operating import Operator, chart_kubeconfig, operator
from tests.support.waiting import until

from farthing.api import BudgetedTrainingJob, SpendRecord
from farthing.api.amounts import Axis
from farthing.api.conditions import ConditionType, find
from farthing.contract.names import LABEL_ATTEMPT
from farthing.kube import resources as of
from farthing.kube.client import Client
from farthing.local.cluster import LocalCluster
from farthing.units import format_time, parse_time

pytestmark = pytest.mark.controller

RUNG = ("native PodGroups", "suspended Jobs")
OURS = re.compile(
    r'resource="(budgetedtrainingjobs|gpunodepools|trainingbudgets|spendrecords|configmaps|secrets|services|networkpolicies)"'
    r'|resource="jobs",[^}]*subresource=""'
)
"""Pods, PodGroups and Jobs' statuses are left out: the control plane writes them too."""
WRITES = re.compile(r'verb="(POST|PUT|PATCH|DELETE)"')


@dataclass
class Stage:
    """A namespace, a client and a running operator."""

    made: LocalCluster
    client: Client
    namespace: str
    folder: Path

    async def submit(self, name: str = "tiny", **changes: Any) -> None:
        """A job of two accelerators that keeps its checkpoints at a URI."""
        manifest = changed(
            JOB,
            {
                "metadata.name": name,
                "metadata.namespace": self.namespace,
                "spec.data.tokenizer": {"vocabularySize": 1024},
                "spec.data.sequenceLength": 256,
                "spec.training": {"globalBatchSize": 4},
                "spec.compute.accelerators": {"min": 2, "max": 2},
                "spec.checkpoint.storage": {"uri": "memory://checkpoints"},
                **changes,
            },
        )
        await self.client.create(of.TRAINING_JOBS.path(self.namespace), manifest)

    async def job(self, name: str = "tiny") -> BudgetedTrainingJob:
        return BudgetedTrainingJob.model_validate(await self.client.get(of.TRAINING_JOBS.path(self.namespace, name)))

    async def patch(self, spec: dict[str, Any], name: str = "tiny") -> None:
        await self.client.patch(of.TRAINING_JOBS.path(self.namespace, name), {"spec": spec})

    async def records(self) -> list[SpendRecord]:
        found = await self.client.list_items(of.RECORDS.path(self.namespace))
        return sorted((SpendRecord.model_validate(each) for each in found), key=lambda each: each.spec.number)

    async def pods(self) -> list[dict[str, Any]]:
        return list(await self.client.list_items(of.PODS.path(self.namespace), selector=LABEL_ATTEMPT))

    async def reaches(self, state: str, name: str = "tiny") -> BudgetedTrainingJob:
        """Wait until the job's state is that."""

        async def look() -> BudgetedTrainingJob | None:
            job = await self.job(name)
            return job if job.status.state == state else None

        return await until(look, f"{name} is {state}")

    async def stalls(self, reason: str, name: str = "tiny") -> str:
        """Wait until the job is Stalled for that reason; the message."""

        async def look() -> str | None:
            stalled = find((await self.job(name)).status.conditions, ConditionType.STALLED)
            return stalled.message if stalled and stalled.status == "True" and stalled.reason == reason else None

        return await until(look, f"{name} is stalled for {reason}")

    async def settled(self, count: int) -> list[SpendRecord]:
        """Wait until that many bills are closed."""

        async def look() -> list[SpendRecord] | None:
            closed = [each for each in await self.records() if each.status.phase == "Settled"]
            return closed if len(closed) >= count else None

        return await until(look, f"{count} settled records")

    async def nothing_left(self) -> None:
        """Wait until no child of any attempt is there."""

        async def look() -> bool:
            for resource in (of.PODS, of.JOBS, of.CONFIG_MAPS, of.SERVICES, of.SECRETS, of.NETWORK_POLICIES):
                if await self.client.list_items(resource.path(self.namespace), selector=LABEL_ATTEMPT):
                    return False
            return True

        await until(look, "no child left")

    async def end_pods(self, last_word: dict[str, Any], exit_code: int = 0) -> None:
        """Write into the status of every running pod how its container ended, as its kubelet would."""
        for pod in await self.pods():
            if pod["status"]["phase"] == "Running":
                await self.client.patch(of.PODS.of(pod, "status"), {"status": ended(pod, last_word, exit_code)})


def ended(pod: dict[str, Any], last_word: dict[str, Any], exit_code: int) -> dict[str, Any]:
    """The status of a pod whose container left a second after it started."""
    running = pod["status"]["containerStatuses"][0]
    started = running["state"]["running"]["startedAt"]
    terminated = {
        "exitCode": exit_code,
        "reason": "Error" if exit_code else "Completed",
        "message": json.dumps(last_word),
        "startedAt": started,
        "finishedAt": format_time(parse_time(started)),
    }
    return {
        "phase": "Failed" if exit_code else "Succeeded",
        "containerStatuses": [{**running, "ready": False, "started": False, "state": {"terminated": terminated}}],
    }


def word(attempt: str, stage: str, reason: str, exit_code: int = 0, **progress: Any) -> dict[str, Any]:
    """A last word."""
    report = {"attempt": attempt, "stage": stage, "phase": "Finished", "started": "2026-11-24T12:00:00Z", **progress}
    return {"exitCode": exit_code, "reason": reason, "progress": report}


@pytest.fixture
async def stage(furnished, client, namespace, tmp_path):
    return Stage(furnished, client, namespace, tmp_path)


def writes(made: LocalCluster) -> dict[str, float]:
    """Requests that change objects of the kinds that the operator writes, as the API server counted them, and its events."""
    lines = made.kubectl("get", "--raw", "/metrics").splitlines()
    counted = (
        line for line in lines if line.startswith("apiserver_request_total{") and WRITES.search(line) and OURS.search(line)
    )
    requests = {series: float(count) for series, _, count in (line.rpartition(" ") for line in counted)}
    told = (each for each in made.get("events", "-A")["items"] if each["source"].get("component") == "farthing")
    return requests | {"events": float(sum(each.get("count") or 1 for each in told))}


async def rests(running: Operator, made: LocalCluster, cycles: int = 4) -> bool:
    """Whether several more cycles went by without one write."""
    before, target = writes(made), running.cycles + cycles

    async def turned() -> bool:
        return running.cycles >= target

    await until(turned, f"{cycles} more cycles")
    return writes(made) == before


async def test_a_job_runs_and_a_second_cycle_writes_nothing(stage):
    await stage.submit()
    with operator(stage.made, stage.folder) as running:
        job = await stage.reaches("Preparing")
        assert [record.spec.number for record in await stage.records()] == [1]
        assert len(job.status.holds) == 1
        await until(lambda: rests(running, stage.made), "cycles without a write")
        assert running.get("/healthz") == (200, "ok")
        events = {
            each["reason"]
            for each in await stage.client.list_items(of.EVENTS.path(stage.namespace))
            if each["source"].get("component") == "farthing"
        }
        assert "Started" in events


async def test_a_bill_without_a_job_is_settled_once(stage):
    record = changed(RECORD, {"metadata.namespace": stage.namespace})
    stage.made.apply(record)
    repriced = {"phase": "Open", "quotes": [{"from": "2026-11-24T12:01:00Z", "perAcceleratorHour": "0.6"}]}
    await stage.client.patch(of.RECORDS.of(record, "status"), {"status": repriced})
    with operator(stage.made, stage.folder) as running:
        (bill,) = await stage.settled(1)
        assert bill.status.outcome == "NeverStarted"
        assert bill.status.charged.cost in (None, "0")
        await until(lambda: rests(running, stage.made), "cycles without a write")


async def test_a_whole_life_from_prepare_to_landing(stage):
    await stage.submit()
    with operator(stage.made, stage.folder):
        await stage.reaches("Preparing")
        prepare = (await stage.records())[0]
        assert prepare.spec.stage == "Prepare"
        product = {"preparedTokens": 10_000_000, "preparedDigest": "sha256:1"}
        await stage.end_pods(word(prepare.spec.attempt, "Prepare", "Prepared", **product))

        async def training() -> SpendRecord | None:
            records = await stage.records()
            pods = [pod for pod in await stage.pods() if pod["status"]["phase"] == "Running"]
            return records[1] if len(records) == 2 and len(pods) == records[1].spec.pods else None

        train = await until(training, "the train attempt runs")
        assert train.spec.stage == "Train"
        await stage.reaches("Running")
        landed = word(train.spec.attempt, "Train", "Landed", step=10, tokens=10240, flops=1e9)
        await stage.end_pods(landed)
        job = await stage.reaches("Complete")
        assert job.status.completion_time is not None
        bills = await stage.settled(2)
        assert [bill.status.outcome for bill in bills] == ["Prepared", "Landed"]
        await stage.nothing_left()
        stage.made.kubectl("wait", "btj/tiny", "-n", stage.namespace, "--for=condition=Complete", "--timeout=10s")


async def test_leadership_fails_over_and_nothing_starts_twice(stage):
    await stage.submit()
    with operator(stage.made, stage.folder, "operator-a") as first:
        await stage.reaches("Preparing")
        with operator(stage.made, stage.folder, "operator-b") as second:
            assert second.metric("farthing_leader") == 0
            first.end(signal.SIGKILL)
            await stage.submit("late")

            async def started() -> bool:
                return (await stage.job("late")).status.state == "Preparing"

            # 10 s of lease, one renewal period, one cycle.
            await until(started, "the standby took over within 15 s", seconds=15)
            records = await stage.records()
            assert sorted(record.spec.job.name for record in records) == ["late", "tiny"]


async def test_suspend_and_resume(stage):
    await stage.submit()
    with operator(stage.made, stage.folder):
        await stage.reaches("Preparing")
        await stage.patch({"suspend": True})
        await stage.reaches("Suspended")
        await stage.settled(1)
        await stage.nothing_left()
        await stage.patch({"suspend": False})
        await stage.reaches("Preparing")
        assert [record.spec.number for record in await stage.records()] == [1, 2]


async def test_deleting_settles_and_leaves_no_child(stage):
    await stage.submit()
    with operator(stage.made, stage.folder):
        await stage.reaches("Preparing")
        await stage.client.delete(of.TRAINING_JOBS.path(stage.namespace, "tiny"))
        bill = (await stage.settled(1))[0]
        await stage.nothing_left()
    assert bill.status.charged is not None
    assert bill.status.charged.as_decimals()[Axis.COST] > 0
    assert await stage.client.get(of.TRAINING_JOBS.path(stage.namespace, "tiny")) is None


async def test_the_charts_rights_suffice(stage):
    """Start, suspend, resume and delete as the ServiceAccount that the chart makes."""
    await stage.submit()
    kubeconfig = chart_kubeconfig(stage.made, OPERATOR_NAMESPACE, stage.folder)
    with operator(stage.made, stage.folder, kubeconfig=kubeconfig) as running:
        await stage.reaches("Preparing")
        await stage.patch({"suspend": True})
        await stage.reaches("Suspended")
        await stage.patch({"suspend": False})
        await stage.reaches("Preparing")
        await stage.client.delete(of.TRAINING_JOBS.path(stage.namespace, "tiny"))
        await stage.settled(2)
        await stage.nothing_left()
    assert " cannot " not in running.log.read_text(), "RBAC refused something"


async def test_deleting_while_the_operator_is_dead_is_settled_later(stage):
    await stage.submit()
    with operator(stage.made, stage.folder) as running:
        await stage.reaches("Preparing")
        running.end(signal.SIGKILL)
    await stage.client.delete(of.TRAINING_JOBS.path(stage.namespace, "tiny"))

    async def held_and_ended() -> bool:
        found = await stage.pods()
        return bool(found) and all(pod["status"]["phase"] == "Failed" for pod in found)

    await until(held_and_ended, "pods ended at once, and are held")
    with operator(stage.made, stage.folder):
        await stage.settled(1)
        await stage.nothing_left()


async def test_a_refusal_stalls_the_job_and_mending_recovers_it(stage):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": stage.namespace},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    }
    path = f"/api/v1/namespaces/{stage.namespace}/resourcequotas"
    await stage.client.create(path, quota)

    async def in_force() -> bool:
        return bool(((await stage.client.get(f"{path}/none")) or {}).get("status", {}).get("used"))

    await until(in_force, "quota counted")
    await stage.submit()
    with operator(stage.made, stage.folder):
        assert "exceeded quota: none" in await stage.stalls("Refused")
        await stage.client.delete(f"{path}/none")
        await stage.patch({"backoffLimit": 7})
        await stage.reaches("Preparing")


async def test_references_that_do_not_resolve_stall(stage):
    claim = {"persistentVolumeClaim": {"claimName": "nowhere"}}
    await stage.submit("claimless", **{"spec.checkpoint.storage": claim})
    await stage.submit("accountless", **{"spec.budget.accountRef": {"name": "nobody"}})
    await stage.submit("classless", **{"spec.priorityClassName": "no-such-class"})
    with operator(stage.made, stage.folder):
        assert "nowhere" in await stage.stalls("StorageNotFound", "claimless")
        assert "nobody" in await stage.stalls("AccountNotFound", "accountless")
        assert "no-such-class" in await stage.stalls("PriorityClassNotFound", "classless")


async def test_a_gang_waits_whole_without_native_gangs(furnished_without_gangs, tmp_path):
    async with await Client.connect(furnished_without_gangs.kubeconfig) as client:
        with new_namespace(furnished_without_gangs) as namespace:
            stage = Stage(furnished_without_gangs, client, namespace, tmp_path)
            await stage.submit()
            with operator(stage.made, stage.folder) as running:
                assert "suspended Jobs" in running.log.read_text()
                await stage.reaches("Preparing")
                batch = (await client.list_items(of.JOBS.path(namespace)))[0]
                assert batch["spec"]["suspend"] is False
                assert await client.get(of.POD_GROUPS.root) is None
                await until(lambda: rests(running, stage.made), "cycles without a write")
