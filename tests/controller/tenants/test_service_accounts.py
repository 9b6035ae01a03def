"""The operator's identity and the namespace it lives in: nobody borrows either."""

import pytest
from tests.controller.tenants.conftest import TEAM, Attempt, People, a_job
from tests.support.operating import Operator
from tests.support.tenants import CLUSTER_ROLES, ROLES, SYSTEM, by_token, crd_names, service_account

from farthing.local.cluster import LocalCluster

pytestmark = pytest.mark.controller

OPERATOR = f"system:serviceaccount:{SYSTEM}:farthing"
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mine", "namespace": SYSTEM}}
POD["spec"] = {"serviceAccountName": "farthing", "containers": [{"name": "c", "image": "i"}]}  # type: ignore[assignment]


def test_nobody_impersonates_the_operator(people: People, attempt: Attempt) -> None:
    for person in (people.tenant, people.owner, people.treasurer):
        for identity in (
            {"Impersonate-User": OPERATOR},
            {
                "Impersonate-User": f"system:serviceaccount:{TEAM}:tenant",
                "Impersonate-Group": "system:serviceaccounts:kube-system",
            },
            {"Impersonate-User": "system:kube-controller-manager"},
            {"Impersonate-User": "somebody", "Impersonate-Group": "system:masters"},
        ):
            assert person.ask("GET", f"/api/v1/namespaces/{TEAM}/pods", headers=identity).code == 403


def test_an_own_account_impersonated_is_no_more_trusted(people: People, attempt: Attempt) -> None:
    """`edit` may impersonate the accounts of its namespace: that is Kubernetes' rule, and buys nothing here."""
    path = f"/api/v1/namespaces/{TEAM}/configmaps/{attempt.name}"
    identity = {"Impersonate-User": f"system:serviceaccount:{TEAM}:tenant"}
    answer = people.tenant.ask("PATCH", path, {"data": {"run.json": "{}"}}, headers=identity)
    assert answer.refuses("may not make or change objects labelled")


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        ("POST", f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/farthing/token", {"spec": {}}),
        ("POST", f"/api/v1/namespaces/{SYSTEM}/pods", POD),
        ("GET", f"/api/v1/namespaces/{SYSTEM}/secrets/farthing-operator-key", None),
        ("GET", f"/api/v1/namespaces/{SYSTEM}/secrets", None),
        ("PATCH", f"/api/v1/namespaces/{SYSTEM}/configmaps/farthing-settings", {"data": {}}),
        ("PATCH", f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/farthing-operator", {"spec": {}}),
        ("PATCH", f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/farthing", {"spec": {"replicas": 0}}),
        ("POST", f"/api/v1/namespaces/{SYSTEM}/pods/farthing-0/exec?command=sh", None),
    ],
)
def test_the_operators_namespace_is_closed(people: People, verb: str, path: str, body: object) -> None:
    for person in (people.tenant, people.owner, people.treasurer):
        assert person.ask(verb, path, body).code == 403


@pytest.mark.parametrize("name", [f"{SYSTEM}/farthing", OPERATOR, f"../{SYSTEM}/farthing"])
def test_a_service_account_of_another_namespace_has_no_name(people: People, attempt: Attempt, name: str) -> None:
    """A pod cannot say it: the API server refuses what the operator would make of such a template."""
    template = attempt.children["Job"]["spec"]["template"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "borrower", "namespace": TEAM}}
    spec = {**template["spec"], "serviceAccountName": name}
    answer = people.treasurer.create({**job, "spec": {"template": {"spec": spec}}})
    assert answer.code == 422
    assert "serviceAccountName: Invalid value" in answer.message


def test_the_operators_name_in_ones_own_namespace_is_an_account_without_rights(
    charted: LocalCluster, people: People, running: Operator
) -> None:
    assert people.tenant.create(service_account("farthing", TEAM), dry=False).done
    assert people.tenant.create(a_job("borrower", **{"spec.template": {"serviceAccountName": "farthing"}})).done
    namesake = by_token(charted, TEAM, "farthing")
    for plural in crd_names():
        for verb in ("get", "create", "update", "delete"):
            assert not namesake.may(verb, "farthing.dev", plural, TEAM)
            assert not namesake.may(verb, "farthing.dev", f"{plural}/status", TEAM)
    assert not namesake.may("create", "", "pods", TEAM)


def test_the_pods_of_an_attempt_carry_no_token(attempt: Attempt) -> None:
    spec = attempt.children["Pod"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert "serviceAccountToken" not in str(spec["volumes"])
    assert spec["serviceAccountName"] == "default"


def test_rights_are_not_made_by_their_holders(people: People) -> None:
    """Aggregated roles are open to labels: who could make a ClusterRole could widen `edit` for everyone."""
    wider = {"apiVersion": CLUSTER_ROLES.api_version, "kind": "ClusterRole", "metadata": {"name": "wider"}}
    wider["metadata"]["labels"] = {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}  # type: ignore[index]
    rule = {"apiGroups": ["farthing.dev"], "resources": ["trainingbudgets"], "verbs": ["raise"]}
    role = {"apiVersion": ROLES.api_version, "kind": "Role", "metadata": {"name": "raiser", "namespace": TEAM}, "rules": [rule]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole"}
    binding = {"apiVersion": ROLES.api_version, "kind": "RoleBinding", "metadata": {"name": "b", "namespace": TEAM}}
    binding["subjects"] = [{"kind": "ServiceAccount", "name": "tenant", "namespace": TEAM}]  # type: ignore[assignment]
    bindings = [
        {**binding, "roleRef": {**reference, "name": name}}
        for name in ("farthing-budget-admin", "farthing-operator", "cluster-admin", "farthing-pool-admin")
    ]
    for person in (people.tenant, people.owner, people.treasurer):
        for manifest in ({**wider, "rules": [rule]}, role, *bindings):
            assert person.create(manifest).code == 403
    release = {**rule, "resources": ["budgetedtrainingjobs"], "verbs": ["release"]}
    assert people.owner.create({**role, "rules": [release]}).refuses("not currently held")
