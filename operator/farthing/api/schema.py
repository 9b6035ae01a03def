"""Pydantic's JSON schema → the structural schema of apiextensions/v1.

A structural schema has no `$ref`, no unions and one type for each value. Optional members are absent rather than null, so
`anyOf: [X, null]` becomes X. Defaults stand in spec only: the server fills them in, so that a job keeps the defaults it was
created under. A status has none, for nobody but the operator says what was observed.
"""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

JsonSchema = dict[str, Any]

_KEPT: Final = (
    "type", "format", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "minProperties", "maxProperties", "required", "x-kubernetes-validations", "x-kubernetes-preserve-unknown-fields",
)  # fmt: skip


def structural_schema(model: type[BaseModel]) -> JsonSchema:
    """The openAPIV3Schema of a resource's root model: `metadata` is the server's own, `status` has no defaults."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})
    root = _convert(schema, definitions)
    properties = root["properties"]
    properties["metadata"] = {"type": "object"}
    for name in ("apiVersion", "kind"):
        properties[name] = {"type": "string"}
    properties["spec"].pop("default", None)
    properties["status"] = _as_status(properties["status"])
    root["required"] = ["spec"]
    return root


def validations(schema: JsonSchema) -> Iterator[JsonSchema]:
    """Every CEL rule in a structural schema, at any depth, the outer ones first."""
    yield from schema.get("x-kubernetes-validations", ())
    below = list(schema.get("properties", {}).values()) + [
        schema[key] for key in ("items", "additionalProperties") if key in schema
    ]
    for member in below:
        yield from validations(member)


def _convert(node: JsonSchema, definitions: dict[str, JsonSchema]) -> JsonSchema:
    """One node of a pydantic schema and everything below it, inlined."""
    source = _resolved(node, definitions)
    result: JsonSchema = {"description": _one_line(source["description"])} if source.get("description") else {}
    result |= {key: source[key] for key in _KEPT if key in source}
    if "const" in source:
        result["enum"] = [source["const"]]
    if "properties" in source:
        result["properties"] = {name: _convert(member, definitions) for name, member in source["properties"].items()}
    if "items" in source:
        result["items"] = _convert(source["items"], definitions)
    if isinstance(source.get("additionalProperties"), dict):
        result["additionalProperties"] = _convert(source["additionalProperties"], definitions)
    return _with_default(result, source.get("default"))


def _resolved(node: JsonSchema, definitions: dict[str, JsonSchema]) -> JsonSchema:
    """The node with its `$ref` and its `anyOf: [X, null]` merged in; a description beside them wins."""
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        return _resolved(target, definitions) | {key: value for key, value in node.items() if key != "$ref"}
    if "anyOf" in node:
        (chosen,) = (branch for branch in node["anyOf"] if branch.get("type") != "null")
        return _resolved(chosen, definitions) | {key: value for key, value in node.items() if key != "anyOf"}
    return node


def _with_default(schema: JsonSchema, default: Any) -> JsonSchema:
    """The schema with what the default says; rules are checked on a default before the defaults below it are filled in."""
    said = _said(default)
    return schema if said is None else schema | {"default": said}


def _said(default: Any) -> Any:
    """A default without its absent and empty members; None where nothing is left."""
    if isinstance(default, dict):
        members = {name: said for name, value in default.items() if (said := _said(value)) is not None}
        return members or None
    return None if default == [] else default


def _as_status(schema: JsonSchema) -> JsonSchema:
    """A status schema: defaults dropped at every depth, conditions as the map by type that metav1 lists are."""
    result = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in result:
        result["properties"] = {name: _as_status(member) for name, member in result["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in result:
            result[key] = _as_status(result[key])
    conditions = result.get("properties", {}).get("conditions")
    if conditions is not None:
        conditions |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return result


def _one_line(text: str) -> str:
    """A docstring's paragraphs, each on one line, as `kubectl explain` wraps them itself."""
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
