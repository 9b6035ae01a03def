"""docs/api.md from the models: every field with type, default and meaning, and every rule with its message."""

from typing import Final

from farthing.api import API_VERSION
from farthing.api.crd import KINDS, Kind
from farthing.api.schema import JsonSchema, structural_schema, validations

_HEAD: Final = f"""\
# API

The resources of `{API_VERSION}`, made by `make crds` from the models in `operator/farthing/api`. The same text, from
a cluster: `kubectl explain btj.spec.budget`. Amounts are decimal strings, never floats; durations are
written like `90s`, `10m` or `1h30m`. Required fields are bold.

"""


def api_markdown() -> str:
    """The whole of docs/api.md."""
    contents = " · ".join(f"[{kind.name}](#{kind.name.lower()})" for kind in KINDS)
    return _HEAD + contents + "\n\n" + "\n".join(_section(kind) for kind in KINDS)


def _section(kind: Kind) -> str:
    schema = structural_schema(kind.model)
    lines = [
        f"## {kind.name}",
        "",
        f"`{kind.short_name}` · {kind.plural} · {kind.scope.lower()}. {schema['description']}",
        "",
    ]
    for part in ("spec", "status"):
        lines += [f"### {kind.name} {part}", "", schema["properties"][part]["description"], ""]
        lines += ["| field | type | default | meaning |", "|---|---|---|---|", *_rows(schema["properties"][part], part), ""]
    return "\n".join([*lines, *_rules(schema), ""])


def _rows(schema: JsonSchema, path: str) -> list[str]:
    """A line for each field below `path`, depth first; required fields are bold."""
    rows = []
    for name, member in schema.get("properties", {}).items():
        shown = f"{path}.{name}"
        required = name in schema.get("required", [])
        rows.append(_row(f"**`{shown}`**" if required else f"`{shown}`", member))
        rows += _rows(member, shown)
        rows += _rows(member.get("items", {}), f"{shown}[]")
        rows += _rows(member.get("additionalProperties", {}), f"{shown}.*")
    return rows


def _row(shown: str, member: JsonSchema) -> str:
    cells = [shown, _type(member), _default(member), member.get("description", "")]
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n\n", " ")


def _type(member: JsonSchema) -> str:
    if "enum" in member:
        return " | ".join(member["enum"])
    if "items" in member:
        return f"list of {_type(member['items'])}, at most {member['maxItems']}" if "maxItems" in member else "list"
    if "additionalProperties" in member:
        return f"map to {_type(member['additionalProperties'])}"
    if member.get("format") == "date-time":
        return "time"
    return f"{member['type']}{_bounds(member)}"


def _bounds(member: JsonSchema) -> str:
    low, high = member.get("minimum"), member.get("maximum")
    if low is None and high is None:
        return ""
    return f", at least {low}" if high is None else f", {low} to {high}"


def _default(member: JsonSchema) -> str:
    """Defaults of scalars and lists; an object's stand at its own members."""
    default = member.get("default")
    if default is None or isinstance(default, dict):
        return ""
    if isinstance(default, list):
        return ", ".join(f"`{entry}`" for entry in default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _rules(schema: JsonSchema) -> list[str]:
    """Every rule: its message, which says what it asks for, and its CEL."""
    by_message = {rule["message"]: rule["rule"] for rule in validations(schema)}
    return ["Rules:", "", *(f"- {message}. `{cel}`" for message, cel in by_message.items())] if by_message else []


__all__ = ["api_markdown"]
