"""What the operator must not be able to do, asked by itself: a stolen token of it opens no more than this."""

import pytest
from tests.controller.tenants.conftest import NEIGHBOUR, TEAM, Attempt, People
from tests.support.tenants import SYSTEM, Person, bound, by_token, crd_names

from farthing.local.cluster import LocalCluster

pytestmark = pytest.mark.controller

RBAC, ADMISSION = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
EVERYWHERE = ("", "kube-system", TEAM)
NEVER = [
    ("*", "*", "*"),
    ("*", "", "*"),
    ("*", "", "pods"),
    ("*", "farthing.dev", "*"),
    *((verb, "", "secrets") for verb in ("get", "list", "watch", "update", "patch", "deletecollection")),
    *((verb, "", "configmaps") for verb in ("list", "watch", "update", "patch", "deletecollection")),
    *((verb, "", "pods") for verb in ("create", "update", "deletecollection")),
    *(("create", "", f"pods/{sub}") for sub in ("exec", "attach", "portforward", "proxy", "eviction", "binding")),
    *(("update", "", f"pods/{sub}") for sub in ("status", "ephemeralcontainers", "resize")),
    ("get", "", "pods/log"),
    *((verb, "", "nodes") for verb in ("get", "create", "update", "patch", "delete")),
    ("get", "", "nodes/proxy"),
    ("patch", "", "nodes/status"),
    *((verb, "", "namespaces") for verb in ("create", "update", "patch", "delete")),
    *((verb, "", "persistentvolumeclaims") for verb in ("get", "create", "update", "patch", "delete")),
    *((verb, "", "persistentvolumes") for verb in ("get", "list", "create", "delete")),
    *((verb, "", "serviceaccounts") for verb in ("get", "list", "create", "update", "delete", "impersonate")),
    ("create", "", "serviceaccounts/token"),
    *(("impersonate", "", kind) for kind in ("users", "groups")),
    *((verb, "", "services") for verb in ("update", "patch")),
    *((verb, "", "endpoints") for verb in ("create", "update", "patch")),
    *((verb, "", "resourcequotas") for verb in ("create", "update", "patch", "delete")),
    ("delete", "", "events"),
    *((verb, "apps", kind) for verb in ("get", "create", "update", "patch") for kind in ("deployments", "daemonsets")),
    *((verb, "batch", "jobs") for verb in ("update", "deletecollection")),
    *((verb, "batch", "cronjobs") for verb in ("create", "update", "patch")),
    ("update", "batch", "jobs/status"),
    *((verb, "networking.k8s.io", "networkpolicies") for verb in ("list", "update", "patch")),
    *((verb, "policy", "poddisruptionbudgets") for verb in ("create", "delete")),
    *((verb, "scheduling.k8s.io", "priorityclasses") for verb in ("create", "update", "patch", "delete")),
    *(
        (verb, RBAC, kind)
        for verb in ("get", "create", "update", "patch", "bind", "escalate")
        for kind in ("roles", "clusterroles")
    ),
    *((verb, RBAC, kind) for verb in ("create", "update") for kind in ("rolebindings", "clusterrolebindings")),
    *(
        (verb, ADMISSION, f"{kind}webhookconfigurations")
        for verb in ("create", "update")
        for kind in ("validating", "mutating")
    ),
    *((verb, ADMISSION, "validatingadmissionpolicies") for verb in ("get", "create", "update", "delete")),
    *((verb, ADMISSION, "validatingadmissionpolicybindings") for verb in ("create", "delete")),
    *((verb, "apiextensions.k8s.io", "customresourcedefinitions") for verb in ("get", "list", "create", "update", "delete")),
    *((verb, "certificates.k8s.io", "certificatesigningrequests") for verb in ("create", "approve")),
    ("create", "authentication.k8s.io", "tokenreviews"),
    ("create", "authorization.k8s.io", "subjectaccessreviews"),
    *((verb, "coordination.k8s.io", "leases") for verb in ("list", "create", "update", "delete")),
    *((verb, "farthing.dev", plural) for verb in ("update", "patch", "deletecollection") for plural in crd_names()),
    *((verb, "farthing.dev", "spendrecords") for verb in ("delete", "deletecollection")),
    *((verb, "farthing.dev", "trainingbudgets") for verb in ("create", "delete", "raise")),
    *((verb, "farthing.dev", "gpunodepools") for verb in ("create", "delete")),
    *((verb, "farthing.dev", "budgetedtrainingjobs") for verb in ("create", "release")),
]
OWN_NAMESPACE = [
    *((verb, "", "secrets", "some-other") for verb in ("get", "update", "patch")),
    *((verb, "", "secrets", "farthing-operator-key") for verb in ("update", "patch")),
    ("list", "", "secrets", ""),
    *((verb, "coordination.k8s.io", "leases", "some-other") for verb in ("get", "update", "delete")),
    *((verb, "coordination.k8s.io", "leases", "farthing-operator") for verb in ("patch", "delete")),
    *((verb, "", "configmaps", "farthing-settings") for verb in ("update", "patch")),
    ("create", "", "pods", ""),
    ("patch", "apps", "deployments", "farthing"),
]


@pytest.fixture(scope="module")
def operator_itself(charted: LocalCluster) -> Person:
    return by_token(charted, SYSTEM, "farthing")


@pytest.mark.parametrize(("verb", "group", "resource"), NEVER, ids=lambda word: word or "core")
def test_nowhere(operator_itself: Person, verb: str, group: str, resource: str) -> None:
    assert [place for place in EVERYWHERE if operator_itself.may(verb, group, resource, place)] == []


@pytest.mark.parametrize(("verb", "group", "resource", "name"), OWN_NAMESPACE)
def test_not_at_home_either(operator_itself: Person, verb: str, group: str, resource: str, name: str) -> None:
    assert not operator_itself.may(verb, group, resource, SYSTEM, name)


@pytest.mark.parametrize("path", ["/logs", "/debug/pprof", "/configz", "/metrics"])
def test_no_inside_of_the_api_server(operator_itself: Person, path: str) -> None:
    assert not operator_itself.may_path("get", path)


def test_the_question_can_be_answered_yes(operator_itself: Person) -> None:
    assert operator_itself.may("create", "", "secrets", TEAM)
    assert operator_itself.may("get", "", "secrets", SYSTEM, "farthing-operator-key")
    assert operator_itself.may("update", "farthing.dev", "spendrecords/status", NEIGHBOUR)


def test_the_operator_reads_no_token_that_it_wrote(operator_itself: Person, attempt: Attempt) -> None:
    assert operator_itself.ask("GET", f"/api/v1/namespaces/{TEAM}/secrets/{attempt.name}").code == 403


def test_the_operator_gives_nobody_rights(operator_itself: Person, people: People) -> None:
    assert operator_itself.create(bound("edit", "neighbour", TEAM)).code == 403
