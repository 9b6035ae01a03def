"""Compute-optimal training: what model size a budget of FLOPs or money should train, on how many tokens, on each pool.

`planner.allocation` turns FLOPs into size and tokens. What an accelerator-hour gives is taken from the pool's best choice for
the question's own model: 6·N FLOPs a token at its speed, N the parameters that a token passes. A far larger or smaller model
would reach another speed; plan the chosen size to see it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from farthing.api.amounts import Axis
from farthing.errors import InvalidSpec
from farthing.planner.allocation import FULL_TRAINING, ComputeAllocation, ComputeRate, Terms, allocate
from farthing.planner.budget import DEADLINE
from farthing.planner.space.answer import Choice, Space
from farthing.planner.space.choices import token_worth
from farthing.planner.space.question import SpaceQuestion
from farthing.units import SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Optimum:
    """What one pool's share of compute should train."""

    pool: str
    accelerator: str
    flops_per_second: float
    """Useful, of one accelerator: 6·N × tokens/s ÷ accelerators of the pool's best choice."""
    allocation: ComputeAllocation
    accelerator_hours: float
    cost: float | None
    """None where the pool has no price."""
    binding: str
    """The limit that the FLOPs come from."""
    nearest: str | None = None
    """Name of the size, where sizes were given."""


def optimum(question: SpaceQuestion, space: Space, sizes: Mapping[str, float] | None = None) -> tuple[Optimum, ...]:
    """The best allocation on each pool of `space`, least loss first, then least cost; size free, or one of `sizes` by name.

    FLOPs, money, accelerator-hours and, on the choice's gang, the deadline count; tokens and energy do not. Start-up and lost
    work are not counted. Raises InvalidSpec where none of those is limited, or for fine-tuning, whose loss no law tells.
    """
    if question.pretrained:
        raise InvalidSpec("pretrained", True, "no scaling law holds for fine-tuning: give the model, or train from scratch")
    best: dict[str, Choice] = {}
    for choice in space.choices:
        best.setdefault(choice.layout.pool, choice)
    found = [_on_pool(question, choice, sizes or {}) for choice in best.values()]
    return tuple(sorted(found, key=lambda each: (each.allocation.loss.value, each.cost or 0.0, each.pool)))


def _on_pool(question: SpaceQuestion, choice: Choice, sizes: Mapping[str, float]) -> Optimum:
    offer = next(each for each in question.pools if each.name == choice.layout.pool)
    price = offer.price_per_accelerator_hour
    speed = choice.tokens_per_second.value / choice.layout.devices
    useful = FULL_TRAINING * question.architecture.active_parameters * speed
    rate = ComputeRate(offer.name, useful, None if price is None else float(price))
    budgets = _flops(question, rate, choice.layout.devices)
    if not budgets:
        remedy = (
            "limit flops, cost or acceleratorHours, or set a deadline: an optimal size is one for a given amount of compute"
        )
        raise InvalidSpec("budget", ", ".join(question.remaining), remedy)
    binding = min(budgets, key=lambda axis: budgets[axis])
    allocation = allocate(budgets[binding], sizes=tuple(sizes.values()), terms=Terms(token_worth(question)))
    hours = allocation.flops / useful / SECONDS_PER_HOUR
    cost = None if rate.price_per_accelerator_hour is None else hours * rate.price_per_accelerator_hour
    name = next((each for each, size in sizes.items() if size == allocation.parameters), None)
    return Optimum(offer.name, choice.layout.accelerator, useful, allocation, hours, cost, binding, name)


def _flops(question: SpaceQuestion, rate: ComputeRate, devices: int) -> dict[str, float]:
    """That each limit buys."""
    left, found = question.remaining, {}
    if Axis.FLOPS in left:
        found[Axis.FLOPS.value] = float(left[Axis.FLOPS])
    if Axis.COST in left:
        found[Axis.COST.value] = rate.flops(float(left[Axis.COST]))
    if Axis.ACCELERATOR_HOURS in left:
        found[Axis.ACCELERATOR_HOURS.value] = float(left[Axis.ACCELERATOR_HOURS]) * SECONDS_PER_HOUR * rate.flops_per_second
    if question.seconds_left is not None:
        found[DEADLINE] = question.seconds_left * devices * rate.flops_per_second
    return found
