"""The control plane with the chart's CRDs, roles and policies, and a namespace with people in it."""

import json
from collections.abc import Iterator

import pytest
from tests.support.admission import JOB_CONTROLLER, NAMESPACE, OPERATOR, SYSTEM, binding, created, role
from tests.support.manifests import CHART, JOB, changed, children_label, config_map

from farthing.api.crd import crds
from farthing.local.cluster import LocalCluster
from farthing.local.shell import wait_until

SETUP_KINDS = {"CustomResourceDefinition", "ClusterRole"}
POLICY_KINDS = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


@pytest.fixture(scope="package")
def server(control_plane: LocalCluster) -> Iterator[LocalCluster]:
    """People: a tenant (edit), a treasurer (edit and budget-admin), a steward (may change accounts, without `raise`)."""
    documents = control_plane.helm("template", "farthing", str(CHART), "--namespace", SYSTEM).split("\n---\n")
    policies = _of_kinds(documents, POLICY_KINDS)
    setup = _of_kinds(documents, SETUP_KINDS) + policies
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=setup)
    names = [f"crd/{crd['metadata']['name']}" for crd in crds()]
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    control_plane.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        role("account-steward", "farthing.dev", ["trainingbudgets"], ["get", "create", "update", "patch"]),
        role("pod-patcher", "", ["pods"], ["get", "create", "update", "patch"]),
        binding("edit", "tenant"),
        binding("edit", "treasurer"),
        binding("farthing-budget-admin", "treasurer"),
        binding("account-steward", "steward"),
        binding("farthing-operator", str(OPERATOR)),
        binding("pod-patcher", JOB_CONTROLLER[0]),
    )
    wait_until(lambda: _aggregated(control_plane), "edit and view to hold the chart's roles", seconds=30)
    wait_until(lambda: _in_force(control_plane), "the policies to be in force", seconds=30)
    yield control_plane
    control_plane.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    control_plane.kubectl("delete", "-f", "-", text=policies)


def _of_kinds(documents: list[str], kinds: set[str]) -> str:
    chosen = [text for text in documents if any(f"\nkind: {kind}\n" in text for kind in kinds)]
    return "".join(f"\n---\n{text}" for text in chosen)


def _aggregated(server: LocalCluster) -> bool:
    """Aggregation is the controller-manager's work, a moment after the roles exist."""
    roles = server.get("clusterrole", "edit", "view")["items"]
    return all("farthing.dev" in json.dumps(role["rules"]) for role in roles)


def _in_force(server: LocalCluster) -> bool:
    """A policy refuses from the first request after the API server has compiled it."""
    late = changed(JOB, {"metadata.namespace": NAMESPACE, "spec.budget.deadline": "2001-01-01T00:00:00Z"})
    forged = config_map("probe", NAMESPACE, children_label("probe"))
    return all("denied request" in created(server, manifest, user="tenant") for manifest in (late, forged))
