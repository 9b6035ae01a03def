"""Suspend, resume, deletion in mid-run and Kubernetes' own verbs, with real training."""

import json
from decimal import Decimal

import pytest
from tests.e2e.conftest import PATIENCE

from farthing.api import SpendRecord
from farthing.api.conditions import ConditionType, is_true
from farthing.cli.demo.scenario import leftovers
from farthing.cli.tables import finished
from farthing.kube.resources import RECORDS, TRAINING_JOBS

pytestmark = pytest.mark.e2e


def named(name, tokens="800000"):
    """An edit of an example's manifest: another name, an output of its own, and a token budget that takes a minute.

    Progress is written every 15 seconds: a shorter run may be over before it was seen to train.
    """

    def change(manifest):
        manifest["metadata"]["name"] = name
        manifest["spec"]["budget"]["limits"] = {"tokens": tokens}
        manifest["spec"]["output"] = {"uri": f"file:///checkpoints/models/{name}"}

    return change


def suspend(api, name, value):
    job = {"metadata": {"name": name, "namespace": api.namespace}}
    api.patch(TRAINING_JOBS, job, {"spec": {"suspend": value}})


def training(name):
    def holds(jobs):
        progress = jobs[name].status.progress
        return progress is not None and progress.phase == "Training" and progress.step >= 5

    return holds


def test_a_suspended_job_keeps_its_steps_and_its_bill(api, submit, witness):
    name = submit("urgent", named("sleeper"))
    witness.until(training(name), "it to train", seconds=PATIENCE)

    suspend(api, name, True)
    jobs = witness.until(
        lambda jobs: is_true(jobs[name].status.conditions, ConditionType.SUSPENDED) and not leftovers(api),
        "it to be suspended", seconds=PATIENCE,
    )  # fmt: skip
    spent = jobs[name].status.spent.as_decimals()
    [stopped] = [record for record in api.records(jobs[name]) if record.spec.stage == "Train"]
    assert stopped.status.outcome == "Stopped"

    suspend(api, name, False)
    jobs = witness.until(lambda jobs: finished(jobs[name]), "it to land", seconds=PATIENCE)
    resumed = api.records(jobs[name])[-1]
    assert jobs[name].status.state == "Complete"
    assert resumed.status.resumed_from == stopped.status.last_step
    assert resumed.status.first_step == stopped.status.last_step + 1
    assert resumed.status.lost_steps == 0
    assert all(jobs[name].status.spent.as_decimals()[axis] >= amount for axis, amount in spent.items())


def test_a_job_deleted_in_mid_run_leaves_its_bill_and_nothing_else(api, submit, witness):
    name = submit("urgent", named("doomed"))
    jobs = witness.until(training(name), "it to train", seconds=PATIENCE)
    uid = jobs[name].metadata.uid

    api.delete(TRAINING_JOBS, name)
    witness.until(lambda jobs: name not in jobs and not leftovers(api), "nothing to be left", seconds=PATIENCE)

    records = [SpendRecord.model_validate(item) for item in api.every(RECORDS, api.namespace)]
    own = [record for record in records if record.spec.job.uid == uid]
    assert own
    assert {record.status.phase for record in own} == {"Settled"}
    assert sum(interval.seconds for record in own for interval in record.status.intervals) > 0
    assert all(Decimal(record.status.charged.accelerator_hours) > 0 for record in own if record.status.intervals)


def test_kubectl_waits_explains_and_dry_runs(cluster, api, setting, main_job):
    example = str(setting.examples / "stdlib-lm.yaml")

    cluster.kubectl("-n", api.namespace, "wait", "--for=condition=Complete", "btj/stdlib-lm", "--timeout=10s")
    assert "never passed" in cluster.kubectl("explain", "btj.spec.budget")
    assert "server dry run" in cluster.kubectl("-n", api.namespace, "apply", "--dry-run=server", "-f", example)
    columns = cluster.kubectl("-n", api.namespace, "get", "btj").splitlines()[0]
    assert [
        word for word in ("STATE", "SPENT", "BUDGET", "PROGRESS", "ETA", "ACCELERATORS", "AGE") if word not in columns
    ] == []


def test_decisions_are_events(cluster, api, main_job):
    events = json.loads(cluster.kubectl("-n", api.namespace, "get", "events", "-o", "json"))["items"]
    told = {event["reason"] for event in events if event["involvedObject"]["name"] == "stdlib-lm"}

    assert told & {"Started", "Preempted", "Preempting", "Landed"}
