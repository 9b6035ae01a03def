"""The policy that confines the operator's right to patch and delete pods to the pods of attempts: RBAC alone cannot."""

from collections.abc import Iterator

import pytest
from tests.support.admission import NAMESPACE, OPERATOR, SYSTEM, User, binding, patched
from tests.support.manifests import Manifest, children_label

from farthing.errors import LocalClusterError
from farthing.local.cluster import LocalCluster
from farthing.local.shell import wait_until

pytestmark = pytest.mark.controller

HOOK: User = f"system:serviceaccount:{SYSTEM}:farthing-release"
REFUSAL = "may change and delete the pods of attempts and no others"
NOTE = {"metadata": {"annotations": {"example.org/note": "x"}}}
ON_LABEL = {"metadata": {"labels": children_label("mine")}}


def made(server: LocalCluster, name: str, labels: dict[str, str]) -> Iterator[Manifest]:
    """A pod that no scheduler ever places, gone with the test."""
    spec = {"containers": [{"name": "main", "image": "any"}], "schedulerName": "none"}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    server.apply(pod)
    yield pod
    server.kubectl("delete", "pod", name, "-n", NAMESPACE, "--ignore-not-found", "--wait=false")


@pytest.fixture
def somebodys(server: LocalCluster) -> Iterator[Manifest]:
    yield from made(server, "somebodys", {"app": "shop"})


@pytest.fixture
def workers(server: LocalCluster) -> Iterator[Manifest]:
    yield from made(server, "workers", children_label("tiny-0a1b2-1"))


def deleted(server: LocalCluster, pod: Manifest, user: User) -> str:
    """What the API server would say to a deletion."""
    words = ["delete", "pod", pod["metadata"]["name"], "-n", NAMESPACE, "--dry-run=server", f"--as={user}"]
    try:
        return server.kubectl(*words)
    except LocalClusterError as error:
        return str(error)


@pytest.mark.parametrize(
    ("user", "change"),
    [(OPERATOR, NOTE), (OPERATOR, ON_LABEL), (HOOK, NOTE)],
    ids=["operator, a note", "operator, the label itself", "the uninstall's hook, a note"],
)
def test_pods_of_others_are_not_changed(server, somebodys, user, change):
    server.apply(binding("pod-patcher", str(HOOK)))
    wait_until(lambda: REFUSAL in patched(server, somebodys, change, user=user, dry=True), "the refusal", seconds=30)


def test_pods_of_others_are_not_deleted(server, somebodys):
    wait_until(lambda: REFUSAL in deleted(server, somebodys, OPERATOR), "the refusal", seconds=30)
    assert "somebodys" in deleted(server, somebodys, "")


def test_pods_of_attempts_are_changed_and_deleted(server, workers):
    assert "patched" in patched(server, workers, NOTE, user=OPERATOR, dry=True)
    assert '"workers" deleted' in deleted(server, workers, OPERATOR)
