"""What guards the chart's objects, as rendered: policies that fail closed and miss no kind, networks that let nothing in."""

import re
from typing import Any

import pytest
import yaml
from tests.chart.conftest import Render
from tests.support.manifests import CHART
from tests.support.ports import admits

pytestmark = pytest.mark.chart

Objects = list[dict[str, Any]]

ATTEMPT = CHART.parents[1] / "tests" / "data" / "attempt-train.yaml"
BOOKS = {"SpendRecord"}
"""Of an attempt's objects, the one that no tenant has any right to."""
ELSEWHERE = "some-team"


@pytest.fixture(scope="module")
def objects(render: Render) -> Objects:
    return render()


@pytest.fixture(scope="module")
def attempt() -> Objects:
    """An attempt as the operator makes it; its pods are the Job controller's."""
    return [each for each in yaml.safe_load_all(ATTEMPT.read_text()) if each]


def of_kind(objects: Objects, kind: str) -> Objects:
    return [found for found in objects if found["kind"] == kind]


def named(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in of_kind(objects, kind) if each["metadata"]["name"] == name)
    return found


# --- Policies ----------------------------------------------------------------------------------------------------------------


def test_policies_fail_closed_and_deny(objects: Objects) -> None:
    policies, bindings = (of_kind(objects, kind) for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"))
    assert {each["spec"]["failurePolicy"] for each in policies} == {"Fail"}
    assert all(each["spec"]["validationActions"] == ["Deny"] for each in bindings)
    assert all("matchResources" not in each["spec"] for each in bindings), "a binding that leaves something out"
    for policy in policies:
        assert all(rule["apiVersions"] == ["*"] for rule in policy["spec"]["matchConstraints"]["resourceRules"])


def test_the_childrens_policy_misses_no_kind(objects: Objects, attempt: Objects) -> None:
    """Whatever the operator makes of an attempt but its bill, and its pods."""
    policy = named(objects, "ValidatingAdmissionPolicy", "farthing-children")
    rules = policy["spec"]["matchConstraints"]["resourceRules"]
    guarded = {(group, name) for rule in rules for group in rule["apiGroups"] for name in rule["resources"]}
    made = {("" if "/" not in each["apiVersion"] else each["apiVersion"].split("/")[0], each["kind"]) for each in attempt}
    children = {(group, _plural(kind)) for group, kind in made if kind not in BOOKS} | {("", "pods")}
    assert children - guarded == set()
    assert all(rule["operations"] == ["CREATE", "UPDATE"] for rule in rules)


def _plural(kind: str) -> str:
    return kind.lower()[:-1] + "ies" if kind.endswith("y") else kind.lower() + "s"


def test_the_guard_trusts_kubernetes_and_the_operator_alone(objects: Objects) -> None:
    policy = named(objects, "ValidatingAdmissionPolicy", "farthing-children")
    (trusted,) = (each["expression"] for each in policy["spec"]["variables"] if each["name"] == "trusted")
    assert set(re.findall(r"'(system:[^']+)'", trusted)) == {
        "system:kube-controller-manager",
        "system:kube-scheduler",
        "system:nodes",
        "system:serviceaccount:farthing-system:farthing",
        "system:serviceaccounts:kube-system",
    }


def test_the_guard_follows_the_release(render: Render) -> None:
    renamed = render(**{"serviceAccount.name": "keeper"})
    for name in ("farthing-children", "farthing-workloads", "farthing-pods"):
        text = str(named(renamed, "ValidatingAdmissionPolicy", name))
        assert "system:serviceaccount:farthing-system:keeper'" in text
        assert "system:serviceaccount:farthing-system:farthing'" not in text


# --- Networks ----------------------------------------------------------------------------------------------------------------


def test_every_pod_of_the_chart_is_behind_a_policy(objects: Objects) -> None:
    policies = of_kind(objects, "NetworkPolicy")
    pods = [each["metadata"]["labels"] for each in of_kind(objects, "Pod")]
    pods += [each["spec"]["template"]["metadata"]["labels"] for each in objects if each["kind"] in ("Deployment", "Job")]
    assert len(pods) == 3
    for labels in pods:
        assert [policy for policy in policies if _applies(policy["spec"]["podSelector"], labels)] != [], labels


def _applies(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return wanted and all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", ())
    )


def test_nothing_reaches_the_pods_of_hooks(objects: Objects) -> None:
    policy = named(objects, "NetworkPolicy", "farthing-hooks")
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert not any(admits(policy, namespace, {}, 8080) for namespace in ("farthing-system", ELSEWHERE))


def test_the_operator_is_reached_on_one_port_and_reaches_three_things(objects: Objects) -> None:
    policy = named(objects, "NetworkPolicy", "farthing")
    assert [port for port in (22, 443, 8080, 9400) if admits(policy, ELSEWHERE, {}, port)] == [8080]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    out = [sorted(each["port"] for each in rule["ports"]) for rule in policy["spec"]["egress"]]
    assert out == [[53, 53], [443, 6443], [9400]]
    (trainers,) = policy["spec"]["egress"][2]["to"]
    assert trainers["podSelector"]["matchExpressions"] == [{"key": "farthing.dev/attempt", "operator": "Exists"}]


def test_an_attempts_port_is_the_operators(attempt: Objects) -> None:
    (policy,) = of_kind(attempt, "NetworkPolicy")
    own = named(attempt, "Job", policy["metadata"]["name"])["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= own.items()
    assert admits(policy, "farthing-system", {}, 9400)
    assert admits(policy, policy["metadata"]["namespace"], own, 29400)
    assert not any(admits(policy, ELSEWHERE, own, port) for port in (9400, 29400))
    assert not any(admits(policy, policy["metadata"]["namespace"], {"app": "other"}, port) for port in (9400, 29400))
