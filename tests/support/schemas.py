"""Hypothesis strategies from structural schemas: values that the API server's schema accepts, its CEL rules left aside."""

from typing import Any

from hypothesis import strategies as st

from farthing.api.schema import JsonSchema
from farthing.units import DURATION_PATTERN

TIMES = (
    "2026-11-24T12:00:00Z",
    "1900-01-01T00:00:00Z",
    "2199-12-31T23:59:59Z",
    "2026-11-24T12:00:00.123456789Z",
    "2026-11-24T12:00:00+05:30",
    "2199-12-31T23:59:59-14:59",
)
"""The odd ones that schema and format let through, too."""
DURATIONS = ("1s", "10m", "1h30m", "7d", "0d1s", "1m500ms", "9999d99999h999999m")
"""At least a second, as the rule on every duration says."""
NUMBERS = (0, 1, 2, 7, 64, 1000, 2**31 - 1, 2**53, 2**63 - 1)
"""JSON numbers that programs trip over."""
SIZES = st.sampled_from(NUMBERS)

OPEN = st.recursive(
    st.none() | st.booleans() | SIZES | st.floats(-1e9, 1e9) | st.sampled_from(["", "x", "None", "1", "é", "a b"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=5,
)
"""Anything that JSON can say."""


def instances(schema: JsonSchema) -> st.SearchStrategy[Any]:
    """Values that a structural schema accepts."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return _BY_TYPE[schema["type"]](schema)


def _objects(schema: JsonSchema) -> st.SearchStrategy[Any]:
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return st.dictionaries(st.from_regex(r"[a-zA-Z_]{1,8}", fullmatch=True), OPEN, max_size=3)
    if "additionalProperties" in schema:
        values = instances(schema["additionalProperties"])
        return st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), values, max_size=2)
    members = {name: instances(member) for name, member in schema.get("properties", {}).items()}
    required = {name: members.pop(name) for name in schema.get("required", [])}
    return st.fixed_dictionaries(required, optional=members)


def _strings(schema: JsonSchema) -> st.SearchStrategy[Any]:
    if schema.get("format") == "date-time":
        return st.sampled_from(TIMES)
    if DURATION_PATTERN in schema.get("pattern", ""):
        return st.sampled_from(DURATIONS)
    if "pattern" in schema:
        fits = st.from_regex(schema["pattern"].rstrip("$") + r"\Z")
        return fits.filter(lambda text: len(text) <= schema["maxLength"])
    return st.text(st.characters(categories=["L"]), min_size=schema.get("minLength", 0), max_size=8)


def _integers(schema: JsonSchema) -> st.SearchStrategy[Any]:
    """Small ones, and both ends of the range."""
    low, high = schema.get("minimum", -10), schema.get("maximum", 2**31 - 1)
    return st.integers(low, min(high, low + 100)) | st.sampled_from([low, high])


_BY_TYPE = {
    "object": _objects,
    "string": _strings,
    "boolean": lambda schema: st.booleans(),
    "integer": _integers,
    "array": lambda schema: st.lists(instances(schema["items"]), min_size=schema.get("minItems", 0), max_size=2),
}
