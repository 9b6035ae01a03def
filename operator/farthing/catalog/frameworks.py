"""What training frameworks do where a run does not say it: defaults and dtype policies, one TOML file each.

`frameworks/default.toml` explains the fields. A framework without a file gets the default's assumptions.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

Row = Mapping[str, str]
"""Cells of a measured run, or of a strategy, by the schema's column names; booleans are `true` and `false`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Where all of `when` holds, cells (`then`) or bytes (`bytes_set`) are others."""

    when: Mapping[str, tuple[str, ...]]
    then: Mapping[str, str]
    bytes_set: Mapping[str, float | str]

    def holds(self, cells: Row) -> bool:
        """Whether every column of `when` has one of its values; an absent column counts as empty."""
        return all(cells.get(column, "") in values for column, values in self.when.items())


@dataclass(frozen=True, slots=True)
class Framework:
    """One framework's policy, the general one beneath it."""

    name: str
    source: str
    defaults: Row
    bytes_an_element: Mapping[str, float | str]
    rules: tuple[Rule, ...]

    def filled(self, cells: Row) -> dict[str, str]:
        """The row with this framework's assumption in every empty cell."""
        return {**self.defaults, **{column: value for column, value in cells.items() if value != ""}}

    def ruled(self, cells: Row) -> dict[str, str]:
        """The filled row after those rules that change cells."""
        changed = dict(cells)
        for rule in self.rules:
            if rule.holds(changed):
                changed.update(rule.then)
        return changed

    def bytes_of(self, cells: Row) -> dict[str, float]:
        """Bytes an element by kind (see default.toml) for a filled row. Raises KeyError for a dtype that is not known."""
        wanted = dict(self.bytes_an_element)
        for rule in self.rules:
            if rule.holds(cells):
                wanted.update(rule.bytes_set)
        return {kind: _bytes(kind, wanted, cells) for kind in wanted}


def framework(name: str) -> Framework:
    """The policy of that name or alias; the general one for names without a file."""
    known = _frameworks()
    return known.get(name.strip().lower(), known["default"])


def frameworks() -> tuple[str, ...]:
    """Names of all policies, `default` included, in alphabetic order."""
    return tuple(sorted({each.name for each in _frameworks().values()}))


@cache
def general() -> Mapping[str, Any]:
    """Tables that hold for all frameworks: dtypes, optimizers, quantized, recipes, lengths."""
    return MappingProxyType(_read("default"))


def _bytes(kind: str, wanted: Mapping[str, float | str], cells: Row) -> float:
    """A number; a kind by its name; or the bytes of the dtype that the row's column names."""
    value = wanted[kind]
    if not isinstance(value, str):
        return float(value)
    if value in wanted:
        return _bytes(value, wanted, cells)
    return float(general()["dtypes"][cells[value]])


@cache
def _frameworks() -> Mapping[str, Framework]:
    found: dict[str, Framework] = {}
    for file in files("farthing.catalog").joinpath("frameworks").iterdir():
        if file.name.endswith(".toml"):
            data = _read(file.name.removesuffix(".toml"))
            found.update(dict.fromkeys([data["name"], *data.get("aliases", [])], _framework(data)))
    return MappingProxyType(found)


def _framework(data: Mapping[str, Any]) -> Framework:
    base = general()
    return Framework(
        name=data["name"],
        source=data["source"],
        defaults={column: _cell(value) for column, value in {**base["defaults"], **data.get("defaults", {})}.items()},
        bytes_an_element={**base["bytes"], **data.get("bytes", {})},
        rules=tuple(_rule(rule) for rule in data.get("rule", [])),
    )


def _rule(data: Mapping[str, Any]) -> Rule:
    when = {column: tuple(map(_cell, value if isinstance(value, list) else [value])) for column, value in data["when"].items()}
    return Rule(when, {column: _cell(value) for column, value in data.get("then", {}).items()}, data.get("set", {}))


def _cell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(files("farthing.catalog").joinpath("frameworks", f"{name}.toml").read_text(encoding="utf-8"))
