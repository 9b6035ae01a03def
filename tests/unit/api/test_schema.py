"""Pydantic's JSON schema → structural schema: what comes out, and that both sides accept the same objects."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, Field
from tests.support.manifests import ACCOUNT, JOB, POOL, RECORD, Manifest, changed
from tests.support.schemas import instances

from farthing.api.base import ApiModel, Timestamp, rule, rules
from farthing.api.crd import KINDS, Kind, crds
from farthing.api.job import ModelSpec
from farthing.api.schema import JsonSchema, structural_schema, validations
from farthing.units import TIME_PATTERN

KEYWORDS = {
    "type", "description", "format", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "maxProperties", "required", "default", "properties", "items", "additionalProperties", "x-kubernetes-validations",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
}  # fmt: skip
"""What apiextensions/v1 allows of what could come out."""

by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


class Part(ApiModel):
    """A part
    on two lines.

    And a paragraph.
    """

    model_config = ConfigDict(json_schema_extra=rules(rule("self.count > 0", "count must be above 0")))
    count: Annotated[int, Field(ge=1)] = 3
    label: str | None = None


class Status(ApiModel):
    """What was seen."""

    count: int = 7
    conditions: Annotated[list[Part], Field(max_length=4)] = Field(default_factory=list)


class Spec(ApiModel):
    """What is wanted."""

    part: Part = Part()
    """The field's own words."""
    empty: Status | None = None
    at: Timestamp | None = None
    only: Literal["A"] = "A"
    names: Annotated[dict[str, Annotated[str, Field(max_length=3)]], Field(max_length=2)] = Field(default_factory=dict)
    anything: Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})] | None = None


class Root(ApiModel):
    """A resource."""

    api_version: Literal["v1"] = "v1"
    kind: Literal["Root"] = "Root"
    metadata: Part
    spec: Spec
    status: Status = Status()


@pytest.fixture(scope="module")
def spec() -> JsonSchema:
    properties: dict[str, JsonSchema] = structural_schema(Root)["properties"]["spec"]["properties"]
    return properties


def test_a_reference_is_inlined_and_the_fields_own_words_win(spec: JsonSchema) -> None:
    assert spec["part"]["properties"]["count"] == {"type": "integer", "minimum": 1, "default": 3}
    assert spec["part"]["description"] == "The field's own words."
    assert structural_schema(Root)["properties"]["spec"]["description"] == "What is wanted."


def test_paragraphs_stand_on_one_line_each() -> None:
    conditions = structural_schema(Root)["properties"]["status"]["properties"]["conditions"]
    assert conditions["items"]["description"] == "A part on two lines.\n\nAnd a paragraph."


def test_optional_means_absent_not_null(spec: JsonSchema) -> None:
    assert spec["at"] == {"type": "string", "format": "date-time", "maxLength": 40, "pattern": TIME_PATTERN}
    assert spec["part"]["properties"]["label"] == {"type": "string"}


def test_a_constant_is_an_enum_of_one(spec: JsonSchema) -> None:
    assert spec["only"] == {"type": "string", "enum": ["A"], "default": "A"}


def test_maps_keep_their_values_schema_and_open_objects_stay_open(spec: JsonSchema) -> None:
    assert spec["names"] == {
        "type": "object",
        "maxProperties": 2,
        "additionalProperties": {"type": "string", "maxLength": 3},
    }
    assert spec["anything"] == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def test_defaults_hold_what_is_said_and_nothing_empty(spec: JsonSchema) -> None:
    assert spec["part"]["default"] == {"count": 3}
    assert "default" not in spec["names"]
    assert "default" not in spec["empty"]


def test_a_status_has_no_defaults_and_its_conditions_are_a_map() -> None:
    status = structural_schema(Root)["properties"]["status"]
    assert status["properties"]["count"] == {"type": "integer"}
    assert status["properties"]["conditions"]["x-kubernetes-list-map-keys"] == ["type"]
    assert "default" not in str(status)


def test_rules_travel_with_the_part_they_guard(spec: JsonSchema) -> None:
    assert [found["message"] for found in validations(spec["part"])] == ["count must be above 0"]
    assert len(list(validations(structural_schema(Root)))) == 3


def test_metadata_is_the_servers() -> None:
    root = structural_schema(Root)
    assert root["properties"]["metadata"] == {"type": "object"}
    assert root["required"] == ["spec"]


def nodes(schema: JsonSchema, path: str = "") -> Iterator[tuple[str, JsonSchema]]:
    """Every node of a structural schema with its path."""
    yield path, schema
    for name, member in schema.get("properties", {}).items():
        yield from nodes(member, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[]")


@by_kind
def test_the_schema_is_structural(kind: Kind) -> None:
    for path, node in nodes(structural_schema(kind.model)):
        assert set(node) <= KEYWORDS, path
        assert isinstance(node["type"], str), path
        assert not ("properties" in node and "additionalProperties" in node), path


@by_kind
def test_every_list_and_map_of_a_spec_is_bounded(kind: Kind) -> None:
    for path, node in nodes(structural_schema(kind.model)["properties"]["spec"]):
        if node["type"] == "array":
            assert "maxItems" in node, path
        if node["type"] == "string":
            assert {"maxLength", "enum"} & set(node), path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


@by_kind
def test_every_field_has_words(kind: Kind) -> None:
    served = structural_schema(kind.model)["properties"]
    found = [each for part in ("spec", "status") for each in nodes(served[part], part)]
    assert [path for path, node in found if not node.get("description") and not path.endswith("[]")] == []


# --- Both sides accept the same ----------------------------------------------------------------------------------------------


@by_kind
@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_the_server_accepts_pydantic_reads_and_writes_back(kind: Kind, data: st.DataObject) -> None:
    schema = structural_schema(kind.model)
    manifest = data.draw(instances(schema)) | {
        "apiVersion": "farthing.dev/v1alpha1",
        "kind": kind.name,
        "metadata": {"name": "drawn"},
    }
    written = kind.model.model_validate(manifest).model_dump(by_alias=True, exclude_none=True, mode="json")
    jsonschema.validate(written, schema)


@pytest.mark.parametrize("manifest", [JOB, POOL, ACCOUNT, RECORD], ids=lambda manifest: manifest["kind"])
def test_the_smallest_objects_pass_both_sides(manifest: Manifest) -> None:
    (kind,) = (kind for kind in KINDS if kind.name == manifest["kind"])
    jsonschema.validate(manifest, structural_schema(kind.model))
    kind.model.model_validate(manifest)


@pytest.mark.parametrize("amount", [0.06, "-1", "1e3", "0.1234567", ""])
def test_money_is_a_bounded_decimal_string(amount: Any) -> None:
    (schema,) = (crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for crd in crds()[:1])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed(JOB, {"spec.budget.limits": {"cost": amount}}), schema)


def test_descriptions_come_from_the_models() -> None:
    assert (
        ModelSpec.model_fields["preset"].description == "A model of the catalogue, initialised at random, for example llama-1m."
    )
