"""Listed prices of rented accelerators: what a question without a price of its own is reckoned with, and told so."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

CURRENCY = "USD"
_MILL = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """What one accelerator costs for an hour by the price lists that were read, in `CURRENCY`: lowest and highest."""

    low: Decimal
    high: Decimal
    source: str
    as_of: str

    @property
    def middle(self) -> Decimal:
        """The geometric mean to a tenth of a cent: as far from the cheapest as from the dearest, in factors."""
        return (self.low * self.high).sqrt().quantize(_MILL)


def listed_price(accelerator: str, *, spot: bool) -> ListedPrice | None:
    """The range of the catalogue's row of that name; None where no list has it."""
    return _prices().get((accelerator, spot))


@cache
def _prices() -> Mapping[tuple[str, bool], ListedPrice]:
    text = files("farthing.catalog").joinpath("prices.toml").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = tomllib.loads(text)["price"]
    kinds = (("on_demand", False), ("spot", True))
    found = {(row["accelerator"], spot): _price(row, kind) for row in rows for kind, spot in kinds if kind in row}
    return MappingProxyType(found)


def _price(row: Mapping[str, Any], kind: str) -> ListedPrice:
    low, high = row[kind]
    return ListedPrice(Decimal(low), Decimal(high), row["source"], row["as_of"])
