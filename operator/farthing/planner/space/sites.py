"""Pools as the search sees them: an offer with its device's facts, and why an offer cannot be searched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from farthing.api.amounts import Axis
from farthing.catalog.devices import Device, device
from farthing.domain.planning import PoolOffer
from farthing.errors import InvalidSpec, MissingPrice, UnknownAccelerator, UserError
from farthing.planner import rates
from farthing.planner.space.question import SpaceQuestion

DTYPES = {"bfloat16": "bf16", "fp8": "fp8", "float16": "fp16", "float32": "fp32"}
"""Precision → the dtype whose peak a device must have."""


@dataclass(frozen=True, slots=True)
class Site:
    """One pool that can be searched."""

    offer: PoolOffer
    device: Device

    @property
    def capacity(self) -> float:
        """Bytes of one device that a process can use: as the pool says, else as the catalogue does."""
        return float(self.offer.memory_bytes or self.device.memory_bytes)

    @property
    def price(self) -> float | None:
        """Of one accelerator-hour."""
        price = self.offer.price_per_accelerator_hour
        return None if price is None else float(price)

    def peak(self, precision: str) -> float:
        """FLOP/s of products in that precision, as the estimators take them; 0 where there are none."""
        return rates.peak_flops(self.offer, precision, self.device.peak(DTYPES[precision])) or 0.0

    @property
    def memory_bandwidth(self) -> float:
        """Bytes/s, as the estimators take it."""
        return rates.memory_bandwidth(self.offer, self.device.memory_bandwidth) or 0.0

    @property
    def network_bandwidth(self) -> float:
        """Bytes/s of one device between nodes; NaN unknown."""
        return rates.network_bandwidth(self.offer)

    @property
    def watts(self) -> float | None:
        """Design power of one device; None where nobody states it."""
        return self.device.watts if isfinite(self.device.watts) else None

    def has(self, precision: str) -> bool:
        """Whether the device has a peak in that precision; fp8 rides on 16-bit kernels."""
        needed = (precision, "bfloat16") if precision == "fp8" else (precision,)
        return all(self._published(each) > 0 for each in needed)

    def tries(self, precision: str, *, free: bool) -> bool:
        """Whether the search looks at it: float16, whose loss is scaled, only where it is fixed or there is no bfloat16."""
        return self.has(precision) and not (free and precision == "float16" and self.has("bfloat16"))

    def _published(self, precision: str) -> float:
        """Peak of the datasheet; every device with bfloat16 multiplies float16 as fast."""
        return self.device.peak("fp16") if precision == "float16" else self.device.peak_flops.get(DTYPES[precision], 0.0)


def sites(question: SpaceQuestion) -> tuple[tuple[Site, ...], tuple[str, ...]]:
    """The pools that can be searched, by name, and a note on each that cannot.

    Raises UnknownAccelerator or InvalidSpec where none can, and MissingPrice where money is limited and a pool has no price.
    """
    found: list[Site] = []
    faults: list[UserError] = []
    for offer in sorted(question.pools, key=lambda each: each.name):
        try:
            found.append(_site(offer, question.remaining))
        except (UnknownAccelerator, InvalidSpec) as fault:
            faults.append(fault)
    if not found:
        raise faults[0] if faults else InvalidSpec("pools", "", "give at least one pool to search")
    _check_currencies(found)
    return tuple(found), tuple(f"left out: {fault}" for fault in faults)


def _check_currencies(found: Sequence[Site]) -> None:
    """Costs are compared, so that they must be in one."""
    currencies = sorted({site.offer.currency for site in found if site.price is not None and site.offer.currency})
    if len(currencies) > 1:
        remedy = "costs in different currencies cannot be compared: price all pools in one, or search them apart"
        raise InvalidSpec("spec.price.currency", ", ".join(currencies), remedy, reason="CurrencyMismatch")


def _site(offer: PoolOffer, remaining: Mapping[Axis, object]) -> Site:
    row = device(offer.accelerator.name)
    if offer.accelerator.kind == "CPU":
        remedy = f"pool {offer.name}: the search estimates GPUs only; plan a job on this pool, or take a pool of GPUs"
        raise InvalidSpec("accelerator", offer.accelerator.name, remedy)
    if row is None:
        raise UnknownAccelerator(
            f"accelerator: {offer.accelerator.name!r} of pool {offer.name} is not in the catalogue: add its row, with peaks, "
            "memory and bandwidths from the datasheet, to accelerators.toml, or leave the pool out"
        )
    if min(offer.accelerators, offer.accelerators_per_node) < 1:
        raise InvalidSpec("accelerators", offer.accelerators, f"pool {offer.name} has none to run on; give it at least 1")
    if Axis.COST in remaining and offer.price_per_accelerator_hour is None:
        raise MissingPrice(
            f"spec.price: pool {offer.name} has none, and money is limited: add perAcceleratorHour, currency and source to "
            f"{offer.name}, or leave it out"
        )
    site = Site(offer, row)
    if Axis.ENERGY in remaining and site.watts is None:
        remedy = f"pool {offer.name}: energy is limited; add tdp_w with its source to the row, or leave the pool out"
        raise InvalidSpec("accelerator", row.name, remedy, reason="MissingPower")
    return site
