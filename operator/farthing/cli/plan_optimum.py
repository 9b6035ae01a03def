"""`farthing plan --optimal`: which model size the same limits should rather train, and on how many tokens, on each pool."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from farthing.catalog import preset
from farthing.catalog.tables import all_presets
from farthing.cli.output import plain_table
from farthing.cli.plan_numbers import prediction_data, spread
from farthing.cli.tables import NONE
from farthing.models import architecture_from_config
from farthing.planner.space import Optimum, optimum
from farthing.planner.space.answer import Space
from farthing.planner.space.question import SpaceQuestion
from farthing.units import format_count

NOTE = (
    "the size is free, or a dense preset's; speed is that of the best plan of the model asked for, so plan the size that you "
    "choose; start-up and lost work are not counted"
)


def optima(asked: SpaceQuestion, space: Space) -> tuple[Optimum, ...]:
    """On each pool the best free size and the best dense preset, least loss first. Raises InvalidSpec as `optimum` does."""
    found = (*optimum(asked, space), *optimum(asked, space, _dense_sizes()))
    return tuple(sorted(found, key=lambda each: (each.allocation.loss.value, each.cost or 0.0, each.pool)))


def page(found: Sequence[Optimum]) -> RenderableType:
    """One row a pool and kind of size."""
    currency_free = all(each.cost is None for each in found)
    right = ("PARAMETERS", "TOKENS", "LOSS", "HOURS", "COST")
    table = plain_table("POOL", "MODEL", *right, "FROM", right=right)
    for each in found:
        allocation = each.allocation
        table.add_row(
            each.pool, each.nearest or "of any size", format_count(allocation.parameters), format_count(allocation.tokens),
            spread(allocation.loss), format_count(each.accelerator_hours),
            NONE if currency_free or each.cost is None else format_count(each.cost), each.binding,
        )  # fmt: skip
    notes = dict.fromkeys(note for each in found for note in each.allocation.notes)
    return Group(table, Text(""), *(Text(line) for line in (*notes, NOTE)))


def as_data(found: Sequence[Optimum]) -> dict[str, Any]:
    """The same for programs."""
    return {"optima": [_data(each) for each in found], "notes": [NOTE]}


def _data(found: Optimum) -> dict[str, Any]:
    allocation = found.allocation
    return {
        "pool": found.pool,
        "accelerator": found.accelerator,
        "model": found.nearest,
        "parameters": allocation.parameters,
        "tokens": allocation.tokens,
        "flops": allocation.flops,
        "loss": prediction_data(allocation.loss),
        "acceleratorHours": found.accelerator_hours,
        "cost": found.cost,
        "binding": found.binding,
        "notes": list(allocation.notes),
    }


def _dense_sizes() -> dict[str, float]:
    """All parameters by preset; of two that have the same number the first. The law knows no mixtures of experts."""
    sizes: dict[float, str] = {}
    for name in all_presets():
        model = architecture_from_config(preset(name))
        if model.mixture is None:
            sizes.setdefault(float(model.parameters), name)
    return {name: size for size, name in sizes.items()}
