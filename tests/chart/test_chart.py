"""The chart: what it renders, what it refuses, and what its roles may not hold."""

import json
from typing import Any

import pytest
import yaml
from tests.chart.conftest import Helm, Render
from tests.support.manifests import CHART

from farthing.errors import LocalClusterError
from farthing.settings import LeadershipSettings, parse_settings

pytestmark = pytest.mark.chart

Objects = list[dict[str, Any]]


@pytest.fixture(scope="module")
def objects(render: Render) -> Objects:
    return render()


def of_kind(objects: Objects, kind: str) -> Objects:
    return [found for found in objects if found["kind"] == kind]


def one(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in of_kind(objects, kind) if each["metadata"]["name"] == name)
    return found


def pod_specs(objects: Objects) -> Objects:
    return [found["spec"] for found in of_kind(objects, "Pod")] + [
        found["spec"]["template"]["spec"] for found in objects if found["kind"] in ("Deployment", "Job")
    ]


def test_lint(helm: Helm) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


def test_an_older_kubernetes_is_refused(helm: Helm) -> None:
    with pytest.raises(LocalClusterError, match="kubeVersion"):
        helm("template", "farthing", str(CHART), "--kube-version", "1.33.9")


@pytest.mark.parametrize(
    "option",
    ["replica=2", "image.registry=x", "crds.install=true", "metrics.service.port=1", "replicas=many", "image.digest=latest"],
)
def test_unknown_or_bad_values_are_refused(helm: Helm, option: str) -> None:
    with pytest.raises(LocalClusterError, match="values don't meet the specifications"):
        helm("template", "farthing", str(CHART), "--set", option)


def test_every_value_is_in_the_schema_and_documented() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(values) == set(schema["properties"]) - {"global"}
    readme = (CHART / "README.md").read_text()
    assert [key for key in values if f"`{key}" not in readme] == []


def test_crds_have_a_switch_and_stay_by_default(render: Render, objects: Objects) -> None:
    kept = of_kind(objects, "CustomResourceDefinition")
    assert len(kept) == 4
    assert all(crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for crd in kept)
    assert of_kind(render(**{"crds.enabled": False}), "CustomResourceDefinition") == []
    dropped = of_kind(render(**{"crds.keep": False}), "CustomResourceDefinition")
    assert all("annotations" not in crd["metadata"] for crd in dropped)


@pytest.mark.parametrize(
    ("switch", "kind"),
    [
        ("policies.enabled", "ValidatingAdmissionPolicy"),
        ("networkPolicy.enabled", "NetworkPolicy"),
        ("metrics.service.enabled", "Service"),
        ("priorityClasses.create", "PriorityClass"),
        ("rbac.create", "ClusterRole"),
        ("serviceAccount.create", "ServiceAccount"),
        ("releaseHook.enabled", "Job"),
    ],
)
def test_switches(render: Render, objects: Objects, switch: str, kind: str) -> None:
    off = of_kind(render(**{switch: False}), kind)
    assert len(off) < len(of_kind(objects, kind))


def test_a_disruption_budget_where_there_is_more_than_one(render: Render, objects: Objects) -> None:
    assert of_kind(objects, "PodDisruptionBudget") == []
    assert len(of_kind(render(replicas=2), "PodDisruptionBudget")) == 1


def test_every_policy_has_its_binding(objects: Objects) -> None:
    bound = {found["spec"]["policyName"] for found in of_kind(objects, "ValidatingAdmissionPolicyBinding")}
    assert bound == {found["metadata"]["name"] for found in of_kind(objects, "ValidatingAdmissionPolicy")}


# --- Roles -------------------------------------------------------------------------------------------------------------------


def rules(objects: Objects) -> list[tuple[str, dict[str, Any]]]:
    return [(found["metadata"]["name"], rule) for found in objects if found["kind"].endswith("Role") for rule in found["rules"]]


def test_no_role_holds_a_wildcard_or_a_right_to_rights(objects: Objects) -> None:
    for name, rule in rules(objects):
        assert not {"*", "escalate", "bind", "impersonate"} & set(rule["verbs"]), name
        assert "*" not in rule["apiGroups"] + rule["resources"], name
        assert "rbac.authorization.k8s.io" not in rule["apiGroups"], name


def test_secrets_are_made_and_deleted_but_only_the_operators_own_is_read(objects: Objects) -> None:
    about_secrets = [(name, rule) for name, rule in rules(objects) if "secrets" in rule["resources"]]
    assert [set(rule["verbs"]) for _, rule in about_secrets if "resourceNames" not in rule] == [{"create", "delete"}]
    (own,) = (rule for _, rule in about_secrets if "resourceNames" in rule)
    assert own["resourceNames"] == ["farthing-operator-key"]
    assert own in one(objects, "Role", "farthing-operator")["rules"]


def verbs_on(objects: Objects, role: str, resource: str) -> set[str]:
    held = one(objects, "ClusterRole", role)["rules"]
    return {verb for rule in held if resource in rule["resources"] for verb in rule["verbs"]}


def test_the_operator_changes_no_spec_of_a_user_and_no_bill(objects: Objects) -> None:
    writes = {"create", "update", "patch", "delete", "deletecollection"}
    assert verbs_on(objects, "farthing-operator", "budgetedtrainingjobs") & writes == {"delete"}
    assert verbs_on(objects, "farthing-operator", "trainingbudgets") & writes == set()
    assert verbs_on(objects, "farthing-operator", "gpunodepools") & writes == set()
    assert verbs_on(objects, "farthing-operator", "spendrecords") & writes == {"create"}


def test_what_tenants_are_given(objects: Objects) -> None:
    for role in ("farthing-viewer", "farthing-editor", "farthing-budget-admin", "farthing-pool-admin"):
        resources = {name for rule in one(objects, "ClusterRole", role)["rules"] for name in rule["resources"]}
        assert not any("/" in name for name in resources), role
        assert verbs_on(objects, role, "spendrecords") <= {"get", "list", "watch"}
    labels = one(objects, "ClusterRole", "farthing-editor")["metadata"]["labels"]
    aggregated = {label for label in labels if "aggregate-to" in label}
    assert aggregated == {"rbac.authorization.k8s.io/aggregate-to-edit"}


def test_the_verb_raise_is_the_budget_admins_alone(objects: Objects) -> None:
    assert {name for name, rule in rules(objects) if "raise" in rule["verbs"]} == {"farthing-budget-admin"}
    assert {name for name, rule in rules(objects) if "release" in rule["verbs"]} == {"farthing-release"}


def test_the_lease_of_the_role_is_the_one_of_the_settings(render: Render, objects: Objects) -> None:
    def names(rendered: Objects) -> list[str]:
        held = one(rendered, "Role", "farthing-operator")["rules"]
        return [name for rule in held if "leases" in rule["resources"] for name in rule.get("resourceNames", [])]

    assert names(objects) == [LeadershipSettings().name]
    assert names(render(**{"settings.leadership.name": "other"})) == ["other"]


# --- Pods --------------------------------------------------------------------------------------------------------------------


def test_pods_are_restricted(objects: Objects) -> None:
    specs = pod_specs(objects)
    assert len(specs) == 3
    for spec in specs:
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


def test_the_operator_is_probed_and_started_by_its_image(objects: Objects) -> None:
    (container,) = one(objects, "Deployment", "farthing")["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]
    assert "command" not in container
    assert "args" not in container


def test_a_digest_wins_over_a_tag(render: Render) -> None:
    digest = "sha256:" + "0" * 64
    (deployment,) = of_kind(render(**{"image.digest": digest, "image.tag": "1"}), "Deployment")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == f"farthing/operator@{digest}"


def test_the_operator_accepts_its_settings(render: Render) -> None:
    rendered = render(**{"settings": {"cycle": {"controlPeriod": 2}, "worker": {"runAsUser": 500}}, "trainerImage.tag": "7"})
    settings = parse_settings(one(rendered, "ConfigMap", "farthing-settings")["data"]["settings.yaml"])
    assert settings.operator_namespace == "farthing-system"
    assert settings.cycle.control_period == 2
    assert settings.worker.trainer_image == "farthing/trainer:7"
    assert settings.worker.run_as_user == 500
    assert settings.worker.priority_class == "farthing-worker"


def test_new_settings_are_a_new_pod(render: Render, objects: Objects) -> None:
    def checksum(rendered: Objects) -> str:
        return str(of_kind(rendered, "Deployment")[0]["spec"]["template"]["metadata"]["annotations"]["checksum/settings"])

    assert checksum(render(**{"settings.cycle.controlPeriod": 2})) != checksum(objects)


def test_priority_classes_preempt_nothing(objects: Objects) -> None:
    classes = of_kind(objects, "PriorityClass")
    assert {found["metadata"]["name"] for found in classes} == {"farthing-worker", "normal", "urgent"}
    assert all(found["preemptionPolicy"] == "Never" and not found["globalDefault"] for found in classes)


def test_the_release_hook_runs_before_an_uninstall_with_rights_of_its_own(objects: Objects) -> None:
    job = one(objects, "Job", "farthing-release")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    spec = job["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == "farthing-release"
    words = ["python", "-m", "farthing.cli.main", "release", "--all", "--drain=120", f"--lease={LeadershipSettings().name}"]
    assert spec["containers"][0]["command"] == words
    assert job["spec"]["activeDeadlineSeconds"] > 120, "what was not settled is let go after that"
    assert verbs_on(objects, "farthing-release", "pods") == {"get", "list", "patch"}
    (own,) = one(objects, "Role", "farthing-release")["rules"]
    assert (own["resources"], own["resourceNames"], own["verbs"]) == (["leases"], [LeadershipSettings().name], ["get", "patch"])


def test_names_carry_the_release(helm: Helm) -> None:
    text = helm("template", "team", str(CHART), "--namespace", "elsewhere")
    named = [document for document in yaml.safe_load_all(text) if document and document["kind"] == "Deployment"]
    assert named[0]["metadata"]["name"] == "team-farthing"
