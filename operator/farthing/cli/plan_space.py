"""The search's answer as tables and as data: memory against the device, speed, money, time, outcome, and how it is run."""

import sys
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from farthing.api.amounts import Axis
from farthing.cli.output import plain_table
from farthing.cli.plan_numbers import prediction_data, spread
from farthing.planner.space.answer import Choice, Space
from farthing.planner.space.question import SpaceQuestion
from farthing.units import GIB, format_count, format_duration

BAR = 12
"""Characters of a memory bar: the whole device."""
BLOCKS, PLAIN = ("█", "▒", "·"), ("#", "+", ".")
"""Expected, the margin up to safe, free: for terminals, and for files and pipes."""
PREDICTED = (
    "step_seconds", "tokens_per_second", "startup_seconds", "tokens", "seconds", "accelerator_hours", "flops", "energy", "cost",
    "loss",
)  # fmt: skip
"""Members of a choice that are predictions."""
_UNITS = {Axis.ACCELERATOR_HOURS: "accelerator-hours", Axis.FLOPS: "FLOPs", Axis.TOKENS: "tokens", Axis.ENERGY: "kWh"}


def shown(space: Space, top: int, *, front: bool) -> tuple[int, ...]:
    """Positions of the choices to show. A number in the tables is a position + 1, whatever is left out."""
    positions = sorted(space.front) if front else range(len(space.choices))
    return tuple(positions)[:top]


def page(space: Space, positions: tuple[int, ...], asked: SpaceQuestion, *, why: bool) -> RenderableType:
    """Two tables by the same numbers, what they buy and how they are run, and under them what a reader should know."""
    lines = [
        *_other_pools(space, positions, asked),
        *space.notes,
        *_notes_of(space, positions),
        _looked_at(space, len(positions)),
    ]
    if why:
        lines += [f"rejected {rejection}" for rejection in space.rejections]
    tables = (_bought(space, positions), Text(""), _layouts(space, positions), Text(""))
    return Group(Text(_asked(asked)), Text(""), *tables, *(Text(line) for line in lines))


def as_data(space: Space, positions: tuple[int, ...], asked: SpaceQuestion) -> dict[str, Any]:
    """The same for programs; predictions with both ends of their interval."""
    return {
        "question": _question(asked),
        "plans": [{"number": position + 1, **_choice(space.choices[position])} for position in positions],
        "front": [position + 1 for position in sorted(space.front)],
        "rejections": [asdict(rejection) for rejection in space.rejections],
        "lookedAt": space.looked_at,
        "notes": list(space.notes),
    }


def bar(choice: Choice, blocks: tuple[str, str, str]) -> str:
    """The device's memory in `BAR` characters: expected, margin up to safe, free."""
    used, margin, free = blocks
    safe = min(BAR, round(choice.safe / choice.capacity * BAR))
    allocated = min(safe, round(choice.allocated / choice.capacity * BAR))
    return used * allocated + margin * (safe - allocated) + free * (BAR - safe)


def _asked(asked: SpaceQuestion) -> str:
    """What was asked, in a line."""
    units = {**_UNITS, Axis.COST: next((pool.currency for pool in asked.pools if pool.currency), "")}
    limits = [f"{format_count(float(limit))} {units[axis]}" for axis, limit in asked.remaining.items()]
    if asked.seconds_left is not None:
        limits.append(format_duration(asked.seconds_left))
    return (
        f"{asked.model}: {format_count(asked.architecture.parameters)} parameters, {asked.global_batch} sequences of "
        f"{asked.sequence_length} tokens a step, at most {', '.join(limits)}"
    )


def _bought(space: Space, positions: tuple[int, ...]) -> RenderableType:
    """What each choice needs and buys; a star marks the front."""
    blocks = BLOCKS if sys.stdout.isatty() else PLAIN
    currency = next((choice.cost.unit for choice in space.choices if choice.cost is not None), "")
    cost = f"COST {currency}".strip()
    right = ("TOKENS/S", cost, "TIME", "TOKENS", "LOSS")
    table = plain_table("", "POOL", "GANG", "MEMORY: EXPECTED, SAFE OF GiB", *right, right=right)
    for position in positions:
        choice = space.choices[position]
        star = "*" if position in space.front else " "
        table.add_row(
            f"{position + 1}{star}", choice.layout.pool, _gang(choice), f"{bar(choice, blocks)} {_memory(choice)}",
            spread(choice.tokens_per_second), spread(choice.cost), spread(choice.seconds), spread(choice.tokens),
            spread(choice.loss),
        )  # fmt: skip
    return table


def _layouts(space: Space, positions: tuple[int, ...]) -> RenderableType:
    """How each choice is run, by what, and what ends it."""
    table = plain_table("", "ENDS BY", "ACCELERATOR", "RUN BY", "LAYOUT")
    for position in positions:
        choice = space.choices[position]
        layout = choice.layout
        table.add_row(str(position + 1), choice.binding, layout.accelerator, layout.executable_by, layout.signature)
    return table


def _gang(choice: Choice) -> str:
    """`8` devices of one node, `4×8` of four."""
    layout = choice.layout
    return f"{layout.nodes}×{layout.devices // layout.nodes}" if layout.nodes > 1 else str(layout.devices)


def _memory(choice: Choice) -> str:
    return f"{choice.allocated / GIB:.1f}, {choice.safe / GIB:.1f} of {choice.capacity / GIB:.1f}"


def _other_pools(space: Space, positions: tuple[int, ...], asked: SpaceQuestion) -> list[str]:
    """Where the best plan of each pool is that no row is of."""
    seen = {space.choices[position].layout.pool for position in positions}
    lines = []
    for name in (offer.name for offer in asked.pools if offer.name not in seen):
        at = next((i for i, choice in enumerate(space.choices) if choice.layout.pool == name), None)
        if at is None:
            lines.append(f"{name}: not among the {len(space.choices)} best plans")
            continue
        best = space.choices[at]
        bought = f"{spread(best.tokens)} tokens in {spread(best.seconds)}"
        lines.append(
            f"{name}: at best plan {at + 1}, {bought}" + (f" for {spread(best.cost)} {best.cost.unit}" if best.cost else "")
        )
    return lines


def _notes_of(space: Space, positions: tuple[int, ...]) -> list[str]:
    """Each note once, with the numbers that it is about."""
    about: dict[str, list[int]] = {}
    for position in positions:
        for note in space.choices[position].notes:
            about.setdefault(note, []).append(position + 1)
    return [f"{', '.join(map(str, numbers))}: {note}" for note, numbers in about.items()]


def _looked_at(space: Space, count: int) -> str:
    return (
        f"{count} of {len(space.choices)} plans, the best of {space.looked_at:,} configurations; ± is an 80 % interval; "
        "* nothing beats in cost, time and outcome at once"
    )


def _question(asked: SpaceQuestion) -> dict[str, Any]:
    return {
        "model": asked.model,
        "parameters": asked.architecture.parameters,
        "sequenceLength": asked.sequence_length,
        "globalBatch": asked.global_batch,
        "pools": [_pool(offer) for offer in asked.pools],
        "limits": {axis.value: f"{limit:f}" for axis, limit in asked.remaining.items()},
        "secondsLeft": asked.seconds_left,
        "framework": asked.framework,
        "fixed": {knob: list(values) for knob, values in asked.fixed.items()},
        "pretrained": asked.pretrained,
    }


def _pool(offer: Any) -> dict[str, Any]:
    price = offer.price_per_accelerator_hour
    return {
        "name": offer.name,
        "accelerator": offer.accelerator.name,
        "acceleratorsPerNode": offer.accelerators_per_node,
        "accelerators": offer.accelerators,
        "spot": offer.spot,
        "pricePerAcceleratorHour": None if price is None else str(price),
        "currency": offer.currency,
    }


def _choice(choice: Choice) -> dict[str, Any]:
    predictions = {name: getattr(choice, name) for name in PREDICTED}
    return {
        "layout": asdict(choice.layout) | {"signature": choice.layout.signature},
        "memory": {
            "allocatedBytes": choice.allocated,
            "reservedBytes": choice.reserved,
            "safeBytes": choice.safe,
            "capacityBytes": choice.capacity,
            "terms": {phase: dict(terms) for phase, terms in choice.memory_terms.items()},
        },
        "timeTerms": dict(choice.time_terms),
        "predictions": {name: prediction_data(number) for name, number in predictions.items() if number is not None},
        "binding": choice.binding,
        "interruptions": choice.interruptions,
        "notes": list(choice.notes),
    }
