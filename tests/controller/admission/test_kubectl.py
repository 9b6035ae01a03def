"""What a user of kubectl sees: explanations, columns, short names, defaults, waiting."""

import json
from pathlib import Path

import pytest
from tests.support.admission import NAMESPACE, patched
from tests.support.manifests import CHART, JOB, Manifest, changed

from farthing.local.cluster import LocalCluster

pytestmark = pytest.mark.controller

EXAMPLES = CHART.parents[1] / "examples"


def existing(server: LocalCluster, name: str, status: Manifest) -> None:
    """A job with this status."""
    made = changed(JOB, {"metadata.name": name, "metadata.namespace": NAMESPACE})
    server.apply(made)
    assert "patched" in patched(server, made, {"status": status})


def test_explain_speaks(server: LocalCluster) -> None:
    told = server.kubectl("explain", "btj.spec.budget")
    assert "never passed" in told
    assert "any mix of axes" in told


def test_every_field_of_a_spec_is_explained(server: LocalCluster) -> None:
    for kind in ("btj", "gnp", "tb"):
        told = server.kubectl("explain", f"{kind}.spec", "--recursive=false")
        assert "<no description>" not in told.split("FIELDS:")[1]


def test_short_names_columns_and_category(server: LocalCluster) -> None:
    status = {"state": "Running", "spentText": "0.01 USD", "budgetText": "0.06 USD", "progressText": "12%"}
    existing(server, "seen", status | {"progress": {"eta": "6m10s"}, "acceleratorsText": "2"})
    header, row, *_ = server.kubectl("get", "btj", "seen", "-n", NAMESPACE).splitlines()
    assert header.split() == ["NAME", "STATE", "SPENT", "BUDGET", "PROGRESS", "ETA", "ACCELERATORS", "AGE"]
    assert row.split()[:9] == ["seen", "Running", "0.01", "USD", "0.06", "USD", "12%", "6m10s", "2"]
    assert "budgetedtrainingjob.farthing.dev/seen" in server.kubectl("get", "farthing", "-n", NAMESPACE, "-o", "name")
    for short in ("gnp", "tb", "sr"):
        server.kubectl("get", short, "-n", NAMESPACE)


def test_defaults_are_filled_in(server: LocalCluster) -> None:
    manifest = server.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", text=json.dumps(JOB))
    spec = json.loads(manifest)["spec"]
    assert spec["training"]["globalBatchSize"] == 32
    assert spec["data"]["validation"] == {"fraction": "0.01", "format": "Text", "textField": "text"}
    assert "template" not in spec


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_examples_are_accepted(server: LocalCluster, file: Path) -> None:
    assert "(server dry run)" in server.kubectl("apply", "--dry-run=server", "-f", str(file))


def test_wait_for_condition(server: LocalCluster) -> None:
    condition = {"type": "Complete", "status": "True", "reason": "Landed", "lastTransitionTime": "2026-11-24T12:00:00Z"}
    existing(server, "waits", {"conditions": [condition]})
    server.kubectl("wait", "--for=condition=Complete", "btj/waits", "-n", NAMESPACE, "--timeout=5s")
