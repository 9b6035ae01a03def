"""Caches → snapshot: joins by label and UID, free accelerators, references that do not resolve, orphans."""

from datetime import UTC, datetime

import pytest
from tests.support.manifests import ACCOUNT, JOB, POOL, RECORD, changed
from tests.unit.kube import pods

from farthing.kube.snapshot import Snapshots
from farthing.kube.watches import Watches

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ATTEMPT = "lm-0a1b2-1"
SLOT = "farthing.dev/cpu-slot"


def node(name, *, ready="True", slots="4", labels=None):
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {},
        "status": {"allocatable": {SLOT: slots, "memory": "8Gi"}, "conditions": [{"type": "Ready", "status": ready}]},
    }


def holder(name, on, amount, phase="Running", attempt=None):
    resources = {"requests": {SLOT: amount, "memory": "1Gi"}}
    metadata = {"name": name, "namespace": "other", "uid": name}
    if attempt:
        metadata |= {"namespace": "team", "labels": {"farthing.dev/attempt": attempt}}
    return {
        "metadata": metadata,
        "spec": {"nodeName": on, "containers": [{"resources": resources}]},
        "status": {"phase": phase},
    }


def job(**changes):
    storage = {"persistentVolumeClaim": {"claimName": "checkpoints"}}
    given = {"metadata.namespace": "team", "metadata.uid": "uid-1", "spec.checkpoint.storage": storage}
    return changed(JOB, {**given, **changes})


def record(number=1, uid="uid-1", **changes):
    name = f"lm-0a1b2-{number}"
    given = {
        "metadata": {"name": name, "namespace": "team", "uid": f"record-{number}"},
        "spec.job": {"name": "tiny", "uid": uid},
        "spec.attempt": name,
        "spec.number": number,
    }
    return changed(RECORD, {**given, **changes})


@pytest.fixture
async def watches():
    made = Watches(None, lambda resource, key: None)
    made.pools.replace([POOL])
    made.nodes.replace([node("n-1"), node("n-2", ready="Unknown"), node("n-3", slots="0")])
    made.claims.replace(
        [{"metadata": {"name": "checkpoints", "namespace": "team"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]
    )
    made.training_jobs.replace([job()])
    made.records.replace([record()])
    return made


def take(watches):
    return Snapshots(watches).take(NOW, native_gangs=True)


async def test_attempts_are_joined_by_label_and_uid(watches):
    watches.pods.replace([{**pods.RUNNING, "metadata": {**pods.RUNNING["metadata"]}}])
    watches.jobs.replace([pods.job()])
    watches.services.replace([{"metadata": {"name": ATTEMPT, "namespace": "team"}}])
    (view,) = take(watches).jobs
    (attempt,) = view.attempts
    assert (attempt.name, attempt.open, attempt.job.uid, attempt.children) == (
        ATTEMPT,
        True,
        "job-uid",
        (f"Service/{ATTEMPT}",),
    )
    assert [pod.name for pod in attempt.pods] == ["lm-0a1b2-1-0-x7k2p"]
    assert attempt.unreachable_nodes == ("gpu-0",)


async def test_attempts_are_in_order_of_their_number(watches):
    watches.records.replace([record(10), record(9), record(2, uid="another")])
    (view,) = take(watches).jobs
    assert [attempt.record.spec.number for attempt in view.attempts] == [9, 10]


async def test_orphans_until_nothing_of_them_is_left(watches):
    watches.training_jobs.replace([])
    assert [attempt.name for attempt in take(watches).orphans] == [ATTEMPT]
    watches.records.replace([record(status={"phase": "Settled"})])
    assert take(watches).orphans == ()
    watches.pods.replace([pods.JOB_DELETED])
    assert [attempt.name for attempt in take(watches).orphans] == [ATTEMPT]


async def test_a_job_made_anew_under_its_name_has_no_attempts(watches):
    watches.training_jobs.replace([job(**{"metadata.uid": "uid-2"})])
    taken = take(watches)
    assert taken.jobs[0].attempts == ()
    assert [attempt.name for attempt in taken.orphans] == [ATTEMPT]


async def test_free_accelerators_count_every_pod_that_is_not_terminal(watches):
    watches.pods.replace(
        [holder("foreign", "n-1", "1"), holder("ours", "n-1", "2", attempt=ATTEMPT), holder("done", "n-1", "4", phase="Failed")]
    )
    (pool,) = take(watches).pools
    assert [(each.name, each.ready, each.accelerators, each.free) for each in pool.nodes] == [
        ("n-1", True, 4, 1),
        ("n-2", False, 4, 4),
    ]
    assert pool.nodes[0].memory_free_bytes == 6 * 2**30


async def test_pools_choose_nodes_by_label(watches):
    watches.pools.replace([changed(POOL, {"spec.nodeSelector": {"pool": "slots"}})])
    watches.nodes.replace([node("n-1"), node("n-2", labels={"pool": "slots"})])
    assert [each.name for each in take(watches).pools[0].nodes] == ["n-2"]


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"spec.budget.accountRef": {"name": "team-a"}}, "AccountNotFound", "team-a"),
        ({"spec.checkpoint.storage": {"persistentVolumeClaim": {"claimName": "gone"}}}, "StorageNotFound", "gone"),
        ({"spec.compute.accelerators": {"min": 9, "max": 9}}, "StorageNotShared", "ReadWriteMany"),
        ({"spec.priorityClassName": "urgent"}, "PriorityClassNotFound", "urgent"),
    ],
)
async def test_references_that_do_not_resolve(watches, changes, reason, words):
    watches.training_jobs.replace([job(**changes)])
    ((found, message),) = take(watches).jobs[0].problems
    assert found == reason
    assert words in message


async def test_references_that_resolve(watches):
    watches.accounts.replace([changed(ACCOUNT, {"metadata.namespace": "team", "status": {"settledAttempts": [ATTEMPT]}})])
    classes = [
        {"metadata": {"name": "urgent"}, "value": 1000},
        {"metadata": {"name": "normal"}, "value": 10, "globalDefault": True},
    ]
    watches.priority_classes.replace(classes)
    watches.training_jobs.replace([job(**{"spec.budget.accountRef": {"name": "team-a"}, "spec.priorityClassName": "urgent"})])
    watches.records.replace([record(**{"spec.account": "team-a"})])
    view = take(watches).jobs[0]
    assert (view.problems, view.priority, view.attempts[0].settled_on_account) == ((), 1000, True)
    watches.training_jobs.replace([job()])
    assert take(watches).jobs[0].priority == 10


async def test_namespace_labels(watches):
    watches.namespaces.replace([{"metadata": {"name": "team", "labels": {"tier": "gold"}}, "spec": {}}])
    assert take(watches).namespace_labels == {"team": {"tier": "gold"}}
