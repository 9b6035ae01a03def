"""The CRDs around the schemas, their Helm templates and the reference."""

import re

import pytest
import yaml
from tests.support.manifests import CHART

from farthing.api.crd import KINDS, Kind, crds, render_templates
from farthing.api.docs import api_markdown

by_crd = pytest.mark.parametrize("crd", crds(), ids=lambda crd: crd["spec"]["names"]["kind"])


def test_short_names_scopes_and_the_category() -> None:
    said = {crd["spec"]["names"]["shortNames"][0]: crd["spec"]["scope"] for crd in crds()}
    assert said == {"btj": "Namespaced", "gnp": "Cluster", "tb": "Namespaced", "sr": "Namespaced"}
    assert {category for crd in crds() for category in crd["spec"]["names"]["categories"]} == {"farthing"}


@by_crd
def test_status_is_a_subresource_of_its_own(crd: dict) -> None:
    assert crd["spec"]["versions"][0]["subresources"] == {"status": {}}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_columns_point_at_fields_that_exist(kind: Kind) -> None:
    (crd,) = (crd for crd in crds() if crd["spec"]["names"]["kind"] == kind.name)
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for column in kind.columns:
        node = schema
        for part in re.sub(r"\[.*?\]", ".items", column.path).strip(".").split("."):
            node = {"type": "string"} if part == "creationTimestamp" else node.get("properties", node).get(part, {})
        assert node, column


def test_columns_of_a_job_in_order() -> None:
    shown = [column.name for column in KINDS[0].columns if column.priority == 0]
    assert shown == ["State", "Spent", "Budget", "Progress", "ETA", "Accelerators", "Age"]


def _without_helm(template: str) -> str:
    lines = [line for line in template.splitlines() if not re.match(r"\s*\{\{-", line)]
    return "\n".join(lines).replace('{{ "{{" }}', "{{")


@pytest.mark.parametrize(("crd", "template"), list(zip(crds(), render_templates().values(), strict=True)))
def test_a_template_is_the_crd_and_switches(crd: dict, template: str) -> None:
    rendered = yaml.safe_load(_without_helm(template))
    assert rendered["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert rendered["metadata"].pop("labels") is None
    assert rendered["spec"] == crd["spec"]
    assert "{{- if .Values.crds.enabled }}" in template
    assert "{{- if .Values.crds.keep }}" in template


def test_the_charts_templates_are_fresh() -> None:
    committed = {file.name: file.read_text() for file in (CHART / "templates" / "crds").glob("*.yaml")}
    assert committed == render_templates(), "run `make crds`"


def test_the_reference_is_fresh() -> None:
    assert (CHART.parents[1] / "docs" / "api.md").read_text() == api_markdown(), "run `make crds`"


def test_the_reference_tells_types_defaults_bounds_and_rules() -> None:
    lines = api_markdown().splitlines()
    batch = next(line for line in lines if line.startswith("| `spec.training.globalBatchSize`"))
    assert batch == (
        "| `spec.training.globalBatchSize` | integer, 1 to 65536 | `32` "
        "| Sequences a step, fixed for the job whatever the number of workers. |"
    )
    assert any(line.startswith("| **`spec.model`** | object") for line in lines)
    assert any("Land \\| CheckpointAndStop" in line for line in lines)
    assert any(line.startswith("- model needs exactly one of preset") for line in lines)
