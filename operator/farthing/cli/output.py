"""Data on stdout, words on stderr: tables for people, JSON and YAML for programs."""

import json
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console, RenderableType
from rich.table import Table

PIPE_WIDTH = 220
"""Columns where stdout is no terminal: a table in a file is not folded."""

words = Console(stderr=True, highlight=False)
"""What is said to the person: progress, hints, errors."""


class Format(StrEnum):
    """How data is written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


OutputOption = Annotated[Format, typer.Option("-o", "--output", help="table for people; json or yaml for programs.")]


def console() -> Console:
    """The console on stdout."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def emit(data: Any, form: Format, table: Callable[[], RenderableType]) -> None:
    """Write `data` in the form asked for; `table` draws it for people."""
    if form is Format.TABLE:
        console().print(table())
    elif form is Format.JSON:
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        print(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), end="")


def plain_table(*columns: str, right: tuple[str, ...] = (), title: str | None = None) -> Table:
    """A table without frame, as kubectl's; `right` names the columns of numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=column != columns[-1])
    return table
