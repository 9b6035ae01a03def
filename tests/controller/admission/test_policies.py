"""The chart's policies, asked by the people and controllers they are about."""

import itertools
from collections.abc import Callable, Iterator

import pytest
from tests.support.admission import JOB_CONTROLLER, NAMESPACE, OPERATOR, allowed, applied, binding, created, patched, role
from tests.support.manifests import ACCOUNT, JOB, Manifest, changed, children_label, config_map, nested

from farthing.local.cluster import LocalCluster
from farthing.local.shell import wait_until

pytestmark = pytest.mark.controller

NUMBERS = itertools.count()


def test_deadline_before_birth_is_refused(server: LocalCluster) -> None:
    made = changed(JOB, {"metadata.name": "late", "metadata.namespace": NAMESPACE})
    past = changed(made, {"spec.budget.deadline": "2001-01-01T00:00:00Z"})
    future = changed(made, {"spec.budget.deadline": "2099-01-01T00:00:00Z"})
    refusal = created(server, past, user="tenant")
    assert "spec.budget.deadline: 2001-01-01T00:00:00Z lies before the job was created" in refusal
    assert "created" in created(server, future, user="tenant", dry=False)
    assert "lies before" in applied(server, past, user="tenant")


@pytest.fixture(scope="module")
def account(server: LocalCluster) -> Manifest:
    made = changed(ACCOUNT, {"metadata.name": "team-a", "metadata.namespace": NAMESPACE})
    assert "created" in created(server, made, user="treasurer", dry=False)
    return made


def test_opening_an_account_needs_the_verb(server: LocalCluster) -> None:
    made = changed(ACCOUNT, {"metadata.name": "mine", "metadata.namespace": NAMESPACE})
    assert "steward may not open the account mine" in created(server, made, user="steward")
    assert "created" in created(server, made, user="treasurer")


@pytest.mark.parametrize(
    "raised",
    [
        nested("spec.limits.cost", "100.01"),
        nested("spec.limits.tokens", None),
        nested("spec.window", {"period": "1d"}),
        nested("spec.carryOver", True),
        {"spec": {"limits": {"cost": "1", "tokens": "2e9"}}},
    ],
    ids=["more money", "an axis removed", "a window", "carry-over", "one down, one up"],
)
def test_raising_an_account_needs_the_verb(server: LocalCluster, account: Manifest, raised: Manifest) -> None:
    refusal = patched(server, account, raised, user="steward", dry=True)
    assert 'steward may not raise the account team-a: this needs the verb "raise"' in refusal
    assert "patched" in patched(server, account, raised, user="treasurer", dry=True)


@pytest.mark.parametrize(
    "lowered",
    [nested("spec.limits.cost", "99.99"), nested("spec.limits.energy", "5"), nested("metadata.annotations", {"a": "b"})],
)
def test_lowering_an_account_does_not(server: LocalCluster, account: Manifest, lowered: Manifest) -> None:
    assert "patched" in patched(server, account, lowered, user="steward", dry=True)


@pytest.mark.parametrize("resource", ["trainingbudgets", "spendrecords", "gpunodepools", "budgetedtrainingjobs/status"])
@pytest.mark.parametrize("verb", ["create", "update", "patch", "delete", "raise", "release"])
def test_tenants_write_nothing_but_jobs(server: LocalCluster, resource: str, verb: str) -> None:
    assert not allowed(server, "tenant", verb, resource)


def test_tenants_may_edit_jobs_and_read_bills(server: LocalCluster) -> None:
    assert allowed(server, "tenant", "create", "budgetedtrainingjobs")
    assert allowed(server, "tenant", "list", "spendrecords")


ATTEMPT = children_label("tiny-0a1b2-1")


def worker(pod_name: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name,
            "namespace": NAMESPACE,
            "labels": ATTEMPT,
            "finalizers": ["farthing.dev/ledger"],
        },
        "spec": {
            "containers": [{"name": "trainer", "image": "farthing/trainer"}],
            "activeDeadlineSeconds": 100,
            "schedulerName": "none",
        },
    }


def batch_job(job_name: str) -> Manifest:
    spec = {"template": {"spec": worker(job_name)["spec"] | {"restartPolicy": "Never"}}}
    metadata = {"name": job_name, "namespace": NAMESPACE, "labels": ATTEMPT}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


@pytest.fixture
def pod(server: LocalCluster) -> Iterator[Manifest]:
    made = worker(f"worker-{next(NUMBERS)}")
    assert "created" in created(server, made, user=JOB_CONTROLLER, dry=False)
    yield made
    patched(server, made, {"metadata": {"finalizers": None}})
    server.kubectl("delete", "pod", made["metadata"]["name"], "-n", NAMESPACE, "--ignore-not-found", "--wait=false")


@pytest.mark.parametrize(
    "make", [worker, batch_job, lambda own: config_map(own, NAMESPACE, ATTEMPT)], ids=["pod", "job", "config map"]
)
def test_tenants_cannot_make_children(server: LocalCluster, make: Callable[[str], Manifest]) -> None:
    refusal = created(server, make("forged"), user="tenant")
    assert "tenant may not make or change objects labelled farthing.dev/attempt" in refusal


def test_the_operator_makes_children(server: LocalCluster) -> None:
    assert "created" in created(server, config_map("own", NAMESPACE, ATTEMPT), user=OPERATOR)


@pytest.mark.parametrize(
    "patch",
    [
        {"metadata": {"finalizers": None}},
        {"metadata": {"labels": {"farthing.dev/attempt": None}}},
        {"metadata": {"labels": {"farthing.dev/pool": "cheaper"}}},
        {"spec": {"activeDeadlineSeconds": 50}},
    ],
    ids=["finalizer", "label off", "other label", "spec"],
)
def test_only_the_operator_and_kubernetes_change_children(server: LocalCluster, pod: Manifest, patch: Manifest) -> None:
    assert "may not make or change" in patched(server, pod, patch, user="tenant", dry=True)
    assert "patched" in patched(server, pod, patch, user=JOB_CONTROLLER, dry=True)
    # The operator's right to pods ends with the label: the policy for pods.
    unlabelled = "farthing.dev/attempt" in patch.get("metadata", {}).get("labels", {})
    answer = patched(server, pod, patch, user=OPERATOR, dry=True)
    assert ("the pods of attempts and no others" if unlabelled else "patched") in answer


def test_tenants_annotate_and_delete_children(server: LocalCluster, pod: Manifest) -> None:
    note = {"metadata": {"annotations": {"example.org/note": "mine"}}}
    assert "patched" in patched(server, pod, note, user="tenant")
    server.kubectl("delete", "pod", pod["metadata"]["name"], "-n", NAMESPACE, "--as=tenant", "--wait=false")


def test_the_label_cannot_be_put_on_other_objects(server: LocalCluster) -> None:
    plain = config_map("plain", NAMESPACE, {})
    assert "created" in created(server, plain, user="tenant", dry=False)
    assert "may not make or change" in patched(server, plain, {"metadata": {"labels": ATTEMPT}}, user="tenant")
    assert "patched" in patched(server, plain, {"data": {"run.json": "mine"}}, user="tenant")


def test_the_verb_release_opens_the_way_out(server: LocalCluster, pod: Manifest) -> None:
    server.apply(
        role("releaser", "farthing.dev", ["budgetedtrainingjobs"], ["release"]),
        binding("releaser", "rescuer"),
        binding("pod-patcher", "rescuer"),
    )
    freed = {"metadata": {"finalizers": None}}
    wait_until(lambda: "patched" in patched(server, pod, freed, user="rescuer", dry=True), "the rescuer's right", seconds=10)


@pytest.mark.parametrize("kind", ["Job", "CronJob"])
def test_a_template_cannot_forge_children(server: LocalCluster, kind: str) -> None:
    template = {"metadata": {"labels": ATTEMPT}, "spec": worker("any")["spec"] | {"restartPolicy": "Never"}}
    spec = {"template": template}
    if kind == "CronJob":
        spec = {"schedule": "@daily", "jobTemplate": {"spec": spec}}
    metadata = {"name": "forge", "namespace": NAMESPACE, "labels": {"app": "mine"}}
    made = {"apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": spec}
    assert "tenant may not label pods farthing.dev/attempt" in created(server, made, user="tenant")
    assert "created" in created(server, made)
