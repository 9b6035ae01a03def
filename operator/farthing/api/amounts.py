"""Limits and amounts by axis: the one type that jobs, accounts, holds and bills share."""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

from pydantic import ConfigDict

from farthing.api.base import ApiModel, BigNumber, Money, rule, rules
from farthing.units import format_micro, format_whole, parse_amount


class Axis(StrEnum):
    """What a budget counts. Values are the fields' names in YAML."""

    COST = "cost"
    ACCELERATOR_HOURS = "acceleratorHours"
    FLOPS = "flops"
    TOKENS = "tokens"
    ENERGY = "energy"


METERED_AXES = (Axis.COST, Axis.ACCELERATOR_HOURS, Axis.FLOPS, Axis.TOKENS)
"""Axes that are metered today; a limit on another one stalls the job."""


class Amounts(ApiModel):
    """An amount on any mix of axes; an absent axis means zero where it was spent and unlimited where it is a limit.

    Units: `cost` in the budget's currency, `acceleratorHours` in hours, `flops` and `tokens` as counts, `energy` in kWh.
    """

    cost: Money | None = None
    accelerator_hours: Money | None = None
    flops: BigNumber | None = None
    tokens: BigNumber | None = None
    energy: Money | None = None

    def as_decimals(self) -> dict[Axis, Decimal]:
        """The axes that are present, as exact decimals."""
        return {axis: parse_amount(value) for axis in Axis if (value := getattr(self, _MEMBERS[axis])) is not None}


class Limits(Amounts):
    """At least one axis."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.cost) || has(self.acceleratorHours) || has(self.flops) || has(self.tokens) || has(self.energy)",
                'limits needs at least one of cost, acceleratorHours, flops, tokens, energy, for example cost: "5.00"',
            )
        )
    )


_MEMBERS: Mapping[Axis, str] = {
    Axis.COST: "cost",
    Axis.ACCELERATOR_HOURS: "accelerator_hours",
    Axis.FLOPS: "flops",
    Axis.TOKENS: "tokens",
    Axis.ENERGY: "energy",
}


def amounts(values: Mapping[Axis, Decimal]) -> Amounts:
    """Amounts from exact decimals, rounded up to what the API can write; axes that are absent stay absent."""
    micro = {Axis.COST, Axis.ACCELERATOR_HOURS, Axis.ENERGY}
    return Amounts(
        **{_MEMBERS[axis]: format_micro(value) if axis in micro else format_whole(value) for axis, value in values.items()}
    )


__all__ = ["METERED_AXES", "Amounts", "Axis", "Limits", "amounts"]
