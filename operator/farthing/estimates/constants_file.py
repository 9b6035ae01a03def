"""Fitted constants as a TOML document: a table of provenance, one of the memory's and one of the time's constants."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import Any, TypeVar

from farthing.estimates.constants import Constants
from farthing.estimates.constants_memory import MemoryConstants
from farthing.estimates.constants_time import TimeConstants

Kind = TypeVar("Kind", bound=Constants)

ROWS = "rows"
"""Beside a table's constants: how many rows they were fitted to."""
TABLES = ("provenance", "memory", "time")


@dataclass(frozen=True, slots=True)
class ConstantsFile:
    """What a document says. A constant that it leaves out has the shipped value."""

    memory: MemoryConstants = field(default_factory=MemoryConstants)
    time: TimeConstants = field(default_factory=TimeConstants)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Whence they are: numbers, texts, or lists of texts by name."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Rows fitted to, by `memory` and `time`; a kind that was not fitted is not in it, nor in the document."""


def written(content: ConstantsFile) -> str:
    """The document; `parsed` gives back the same content, every number exact."""
    text = "[provenance]\n" + "".join(f"{name} = {_value(value)}\n" for name, value in content.provenance.items())
    for kind, constants in (("memory", content.memory), ("time", content.time)):
        if kind in content.rows:
            text += f"\n[{kind}]\n{ROWS} = {content.rows[kind]}\n"
            text += "".join(f"{name} = {_value(value)}\n" for name, value in asdict(constants).items())
    return text


def parsed(text: str) -> ConstantsFile:
    """The content of a document. Raises ValueError that names a table or constant that is unknown, or no positive number."""
    data = tomllib.loads(text)
    if unknown := sorted(set(data) - set(TABLES)):
        raise ValueError(f"{', '.join(unknown)}: unknown; tables are {', '.join(TABLES)}")
    if broken := [name for name, table in data.items() if not isinstance(table, dict)]:
        raise ValueError(f"{', '.join(broken)}: not a table")
    rows = {kind: data[kind].pop(ROWS) for kind in TABLES[1:] if ROWS in data.get(kind, {})}
    if broken := [f"{kind}.{ROWS}" for kind, count in rows.items() if type(count) is not int or count < 0]:
        raise ValueError(f"{', '.join(broken)}: not a count")
    memory = _constants("memory", MemoryConstants(), data.get("memory", {}))
    return ConstantsFile(memory, _constants("time", TimeConstants(), data.get("time", {})), data.get("provenance", {}), rows)


def _constants(kind: str, shipped: Kind, table: Mapping[str, Any]) -> Kind:
    known = shipped.facts()
    for name, value in table.items():
        if name not in known:
            raise ValueError(f"{kind}.{name}: no such constant; `farthing estimates fit` writes all that there are")
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value <= 0:
            raise ValueError(f"{kind}.{name}: {value!r} must be a positive number")
    return replace(shipped, **{name: float(value) for name, value in table.items()})


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)
