"""Limits and amounts by axis: the one type that jobs, accounts, holds and bills share."""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

from pydantic import ConfigDict, JsonValue

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
    """Money, in the budget's currency."""
    accelerator_hours: Money | None = None
    """Accelerators × hours held, start-up and waste included."""
    flops: BigNumber | None = None
    """Floating point operations executed, recomputation included, for example 1.9e12."""
    tokens: BigNumber | None = None
    """Tokens trained on, along the surviving lineage of checkpoints."""
    energy: Money | None = None
    """Energy in kWh. Not metered yet: a limit on it stalls the job."""

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


def floor_rules(limits: str) -> list[JsonValue]:
    """CEL for the root of a resource whose `status` has `spent` and `holds`: limits rise, and fall only to both together.

    `limits` is the path of the limits below the root. The sums are taken as doubles, since CEL cannot add up a list of
    quantities and caps them at 2^63; the factor covers the sum's rounding (a double keeps 15 to 16 digits).
    """
    return [_floor_rule(limits, axis) for axis in Axis]


def _floor_rule(limits: str, axis: Axis) -> JsonValue:
    new, old = f"self.{limits}.{axis}", f"oldSelf.{limits}.{axis}"
    spent = f"(has(self.status.spent) && has(self.status.spent.{axis}) ? double(self.status.spent.{axis}) : 0.0)"
    held = (
        "(has(self.status.holds)"
        f" ? self.status.holds.map(h, has(h.amounts.{axis}) ? double(h.amounts.{axis}) : 0.0).sum() : 0.0)"
    )
    return rule(
        f"!has({new}) || !has(self.status) || (has({old}) && double({new}) >= double({old}))"
        f" || double({new}) * 1.000000000001 >= {spent} + {held}",
        f"{limits}.{axis} cannot fall below what is spent and held: read both in status, or wait for the running attempts",
    )


def amounts(values: Mapping[Axis, Decimal]) -> Amounts:
    """Amounts from exact decimals, rounded up to what the API can write; axes that are absent stay absent."""
    micro = {Axis.COST, Axis.ACCELERATOR_HOURS, Axis.ENERGY}
    return Amounts(
        **{_MEMBERS[axis]: format_micro(value) if axis in micro else format_whole(value) for axis, value in values.items()}
    )


__all__ = ["METERED_AXES", "Amounts", "Axis", "Limits", "amounts", "floor_rules"]
