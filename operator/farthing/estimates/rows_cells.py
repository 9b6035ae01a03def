"""Cells of a measured row: typed access, and the error that refuses a row with its reason."""

from collections.abc import Mapping
from math import isfinite

Cells = Mapping[str, str]


class RowRefused(Exception):
    """The row has a value that is not modelled, or lacks one that no assumption replaces; the text says which."""


def number(cells: Cells, column: str, default: float | None = None) -> float:
    """The cell's number; `default` where it is empty. Raises RowRefused for text, negatives, and empty without default."""
    text = cells.get(column, "").strip()
    if not text:
        if default is None:
            raise RowRefused(f"{column} is empty")
        return default
    try:
        value = float(text)
    except ValueError:
        raise RowRefused(f"{column} {text!r} is not a number") from None
    if not isfinite(value) or value < 0:
        raise RowRefused(f"{column} {text!r} is not a count")
    return value


def positive(cells: Cells, column: str, default: float | None = None) -> float:
    """As `number`, and above 0."""
    value = number(cells, column, default)
    if value <= 0:
        raise RowRefused(f"{column} is {value:g}")
    return value


def given(cells: Cells, column: str) -> float | None:
    """The cell's number, or None where it is empty."""
    return number(cells, column) if cells.get(column, "").strip() else None


def flag(cells: Cells, column: str) -> float:
    """1 for true, 0 for false or empty. Raises RowRefused for other words."""
    text = cells.get(column, "").strip().lower()
    if text not in ("", "true", "false"):
        raise RowRefused(f"{column} {text!r} is neither true nor false")
    return float(text == "true")


def word(cells: Cells, column: str, known: Mapping[str, float]) -> float:
    """The code of the cell's word. Raises RowRefused for words that are not known."""
    text = cells.get(column, "").strip().lower()
    if text not in known:
        raise RowRefused(f"{column} {text!r} is not modelled")
    return known[text]
