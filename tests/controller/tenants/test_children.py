"""A running attempt and the people of its namespace: its ends, finalizers, labels and owners are nobody's but Farthing's."""

import pytest
from tests.controller.tenants.conftest import TEAM, Attempt, People
from tests.support.manifests import Manifest, config_map

from farthing.contract.names import FINALIZER_LEDGER, LABEL_ATTEMPT, LABEL_POOL

pytestmark = pytest.mark.controller

KINDS = ("Job", "Pod", "ConfigMap", "Secret", "Service", "NetworkPolicy", "PodGroup")
EVERYWHERE = {
    "label off": {"metadata": {"labels": {LABEL_ATTEMPT: None}}},
    "label of another attempt": {"metadata": {"labels": {LABEL_ATTEMPT: "other-0a1b2-1"}}},
    "another label": {"metadata": {"labels": {LABEL_POOL: "cheaper"}}},
    "finalizers": {"metadata": {"finalizers": ["example.org/mine"]}},
    "no owner": {"metadata": {"ownerReferences": None}},
    "index": {"metadata": {"annotations": {"batch.kubernetes.io/job-completion-index": "7"}}},
    "our annotations": {"metadata": {"annotations": {"farthing.dev/anything": "mine"}}},
}
BY_KIND = {
    "Job": [
        {"spec": {"activeDeadlineSeconds": 86400}},
        {"spec": {"activeDeadlineSeconds": None}},
        {"spec": {"suspend": True}},
        {"spec": {"parallelism": 9}},
        {"spec": {"backoffLimit": 6}},
        {"spec": {"ttlSecondsAfterFinished": 0}},
    ],
    "Pod": [
        {"spec": {"activeDeadlineSeconds": 1}},
        {"spec": {"tolerations": [{"key": "mine", "operator": "Exists"}]}},
        {"spec": {"schedulingGates": []}, "metadata": {"labels": {"mine": "1"}}},
        {"metadata": {"finalizers": None}},
    ],
    "ConfigMap": [{"data": {"run.json": "{}"}}, {"binaryData": {"x": "eA=="}}, {"immutable": True}],
    "Secret": [{"stringData": {"token": "mine"}}, {"data": {"token": None}}],
    "Service": [{"spec": {"selector": None}}, {"spec": {"ports": [{"port": 1}]}}],
    "PodGroup": [{"spec": {"schedulingPolicy": {"gang": {"minCount": 9}}}}],
    "NetworkPolicy": [{"spec": {"ingress": [{}]}}, {"spec": {"podSelector": {"matchLabels": None}}}],
}
CASES = [(kind, patch) for kind in KINDS for patch in (*EVERYWHERE.values(), *BY_KIND[kind])]


@pytest.mark.parametrize(("kind", "patch"), CASES, ids=str)
def test_nobody_changes_a_child(people: People, attempt: Attempt, kind: str, patch: Manifest) -> None:
    for person in (people.tenant, people.owner):
        answer = person.patch(attempt.children[kind], patch)
        assert answer.refuses("ValidatingAdmissionPolicy 'farthing-"), (answer.code, answer.message)


def test_the_finalizer_stands_and_a_json_patch_does_not_get_it_off(people: People, attempt: Attempt) -> None:
    pod = attempt.children["Pod"]
    assert FINALIZER_LEDGER in pod["metadata"]["finalizers"]
    off = [{"op": "remove", "path": "/metadata/finalizers"}]
    assert people.tenant.patch(pod, off).refuses("may not make or change")
    without = {**pod, "metadata": {**pod["metadata"], "finalizers": []}}
    assert people.tenant.replace(without).refuses("may not make or change")


@pytest.mark.parametrize("sub", ["status", "resize", "ephemeralcontainers", "binding"])
def test_no_way_in_by_a_subresource(people: People, attempt: Attempt, sub: str) -> None:
    pod = attempt.children["Pod"]
    verb = "POST" if sub == "binding" else "PATCH"
    path = f"/api/v1/namespaces/{TEAM}/pods/{pod['metadata']['name']}/{sub}"
    change = {"metadata": {"name": pod["metadata"]["name"]}, "status": {"phase": "Succeeded"}, "target": {"name": "fake-gpu-0"}}
    assert people.tenant.ask(verb, path, change).code in (403, 404)


@pytest.mark.parametrize("kind", ["Job", "PodGroup"])
def test_no_status_of_a_child(people: People, attempt: Attempt, kind: str) -> None:
    assert people.tenant.patch(attempt.children[kind], {"status": {}}, "status").code == 403


@pytest.mark.parametrize("kind", KINDS)
def test_an_own_object_is_not_passed_off_as_an_attempts(people: People, attempt: Attempt, kind: str) -> None:
    child = attempt.children[kind]
    labels = child["metadata"]["labels"]
    forged = {**child, "metadata": {"name": "forged", "namespace": TEAM, "labels": labels}, "status": None}
    if kind == "Job":  # a selector is Kubernetes' own to make
        forged["spec"] = {key: value for key, value in child["spec"].items() if key != "selector"}
        forged["spec"]["template"] = {"spec": child["spec"]["template"]["spec"]}
    assert people.tenant.create(forged).refuses("may not make or change objects labelled farthing.dev/attempt")


def test_nor_labelled_afterwards(people: People, attempt: Attempt) -> None:
    own = config_map("own", TEAM, {})
    assert people.tenant.create(own, dry=False).done
    assert people.tenant.patch(own, {"metadata": {"labels": {LABEL_ATTEMPT: attempt.name}}}).refuses("may not make or change")
    labelled = {**own, "metadata": {**own["metadata"], "labels": {LABEL_ATTEMPT: attempt.name}}}
    assert people.tenant.replace(labelled).refuses("may not make or change")
    assert people.tenant.patch(own, {"data": {"a": "b"}}).done


@pytest.mark.parametrize("labelled", [False, True], ids=["plain", "labelled itself"])
@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController"])
def test_nor_made_by_a_controller(people: People, attempt: Attempt, kind: str, labelled: bool) -> None:
    labels = {LABEL_ATTEMPT: attempt.name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    core = kind == "ReplicationController"
    manifest = {"apiVersion": "v1" if core else "apps/v1", "kind": kind, "metadata": {"name": "forge", "namespace": TEAM}}
    manifest["spec"] = {"selector": labels if core else {"matchLabels": labels}, "template": template}
    if labelled:
        manifest["metadata"]["labels"] = labels
    if kind == "StatefulSet":
        manifest["spec"] |= {"serviceName": "forge"}
    root = f"/api/v1/namespaces/{TEAM}" if core else f"/apis/apps/v1/namespaces/{TEAM}"
    assert people.tenant.ask("POST", f"{root}/{kind.lower()}s", manifest).refuses("may not label pods farthing.dev/attempt")


@pytest.mark.parametrize("where", ["the CronJob too", "its Jobs", "their pods"])
def test_nor_by_the_clock(people: People, attempt: Attempt, where: str) -> None:
    labels = {"labels": {LABEL_ATTEMPT: attempt.name}}
    pods = {"metadata": {} if where == "its Jobs" else labels, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    pods["spec"]["restartPolicy"] = "Never"
    jobs = {"metadata": labels if where == "its Jobs" else {}, "spec": {"template": pods}}
    metadata = {"name": "forge", "namespace": TEAM} | (labels if where == "the CronJob too" else {})
    manifest = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata}
    manifest["spec"] = {"schedule": "@daily", "jobTemplate": jobs}
    answer = people.tenant.ask("POST", f"/apis/batch/v1/namespaces/{TEAM}/cronjobs", manifest)
    assert answer.refuses("may not label pods farthing.dev/attempt")


def test_what_is_free_stays_free(people: People, attempt: Attempt) -> None:
    """Notes on a child, and its end: whoever may delete it may, and the bill is settled."""
    for kind in KINDS:
        assert people.tenant.patch(attempt.children[kind], {"metadata": {"annotations": {"example.org/note": "n"}}}).done
        assert people.tenant.delete(attempt.children[kind]).done


def test_the_neighbour_sees_none_of_it(people: People, attempt: Attempt) -> None:
    for kind in KINDS:
        assert people.neighbour.patch(attempt.children[kind], {"metadata": {"annotations": {"a": "b"}}}).code == 403
        assert people.neighbour.delete(attempt.children[kind]).code == 403
