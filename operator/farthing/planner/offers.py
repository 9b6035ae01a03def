"""Pools as the planner sees them: selected, looked up in the catalogue, with price and measured rate."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType

from farthing.api.job import BudgetedTrainingJobSpec
from farthing.api.pool import GPUNodePool
from farthing.catalog import accelerator
from farthing.domain.planning import AcceleratorSpec, PoolOffer
from farthing.errors import InvalidSpec, MissingPrice, UserError
from farthing.units import parse_amount, parse_duration, parse_quantity

NOTHING_MEASURED: Mapping[str, float] = MappingProxyType({})


def pool_offers(
    spec: BudgetedTrainingJobSpec,
    pools: Sequence[GPUNodePool],
    costs: bool,
    startup_seconds: Mapping[str, float],
    *,
    only_money: bool = False,
) -> tuple[PoolOffer, ...]:
    """The pools that this job may use, by name. `costs`: money is limited, so every pool needs a price in its currency;
    `only_money`: and nothing else is, so every pool must cost something.

    Raises InvalidSpec (reason NoPool) when none is selected, else the first pool's own fault when all are faulty.
    """
    selected = sorted((pool for pool in pools if _selected(spec, pool)), key=lambda pool: pool.metadata.name)
    if not selected:
        labels = spec.compute.pool_selector.match_labels
        remedy = f"no pool has these labels and suits spot: {spec.compute.spot}; label one, or widen the selector"
        raise InvalidSpec("spec.compute.poolSelector.matchLabels", dict(labels), remedy, reason="NoPool")
    currency = spec.budget.currency

    def offer(pool: GPUNodePool) -> PoolOffer:
        found = pool_offer(pool, currency, costs=costs, startup_seconds=startup_seconds)
        if only_money and not found.price_per_accelerator_hour:
            remedy = f"a budget of money alone never ends on pool {found.name}, which costs nothing: limit another axis too"
            raise InvalidSpec("spec.price.perAcceleratorHour", found.price_per_accelerator_hour, remedy)
        return found

    offers, faults = _split(selected, offer)
    if not offers:
        raise faults[0]
    return tuple(offers)


def measured_precision(offer: PoolOffer) -> str | None:
    """Of what precision the pool's measured rate of products is: the least published peak that is not below it.

    float32 where none is published; None without a measured rate, and where it is above every published peak, for then it is of
    a precision that nothing is planned in.
    """
    rate, peaks = offer.measured_flops_per_second, offer.accelerator.peak_flops
    if rate is None:
        return None
    reachable = [precision for precision in peaks if peaks[precision] >= rate]
    return min(reachable, key=lambda precision: peaks[precision], default=None if peaks else "float32")


def peak_rate(offer: PoolOffer, precision: str) -> float:
    """Most FLOP/s that one accelerator executes. Raises ValueError where neither pool nor catalogue knows.

    A GPU: the published dense peak, and the pool's measured rate where there is none. A CPU slot: the measured rate first.
    """
    measured = offer.measured_flops_per_second if measured_precision(offer) == precision else None
    published = offer.accelerator.peak_flops.get(precision)
    peak = measured or published if offer.accelerator.kind == "CPU" else published or measured
    if peak is None:
        raise ValueError(f"pool {offer.name}: no {precision} rate is known for {offer.accelerator.name}")
    return peak


def _selected(spec: BudgetedTrainingJobSpec, pool: GPUNodePool) -> bool:
    spot_suits = {"Allow": True, "Never": not pool.spec.spot, "Only": pool.spec.spot}[spec.compute.spot]
    return spot_suits and spec.compute.pool_selector.matches(pool.metadata.labels)


def _split(pools: Sequence[GPUNodePool], offer: Callable[[GPUNodePool], PoolOffer]) -> tuple[list[PoolOffer], list[UserError]]:
    offers: list[PoolOffer] = []
    faults: list[UserError] = []
    for pool in pools:
        try:
            offers.append(offer(pool))
        except UserError as fault:
            faults.append(fault)
    return offers, faults


def pool_offer(
    pool: GPUNodePool, currency: str | None, *, costs: bool, startup_seconds: Mapping[str, float] = NOTHING_MEASURED
) -> PoolOffer:
    """The pool as the planner sees it. `currency`: the budget's; `costs`: money is limited, so that a price must be in it.

    startup_seconds: measured, by pool. Raises MissingPrice, InvalidSpec, UnknownAccelerator.
    """
    row, rate = accelerator(pool.spec.accelerator), pool.spec.rate
    price = _price(pool, currency, costs)
    _check_rate(pool, row)
    return PoolOffer(
        name=pool.metadata.name,
        accelerator=row,
        accelerators_per_node=pool.spec.accelerators_per_node,
        accelerators=max(pool.spec.max_nodes * pool.spec.accelerators_per_node, pool.status.accelerators),
        price_per_accelerator_hour=price,
        currency=pool.spec.price.currency if pool.spec.price is not None else None,
        spot=pool.spec.spot,
        memory_bytes=_memory(pool, row),
        measured_flops_per_second=float(rate.flops_per_second) if rate is not None else None,
        measured_memory_bandwidth=_bandwidth(pool),
        network_bytes_per_second=_network(pool),
        mean_time_between_failures=parse_duration(pool.spec.mean_time_between_failures),
        startup_seconds=startup_seconds.get(pool.metadata.name),
    )


def _price(pool: GPUNodePool, currency: str | None, costs: bool) -> Decimal | None:
    price = pool.spec.price
    if price is None:
        if costs:
            raise MissingPrice(
                f"spec.price: pool {pool.metadata.name} has none, and the budget counts money: set "
                "perAcceleratorHour, currency and source on the pool, or select another pool"
            )
        return None
    if costs and price.currency != currency:
        remedy = f"the budget is in {currency}; price the pool {pool.metadata.name} in it, or select another pool"
        raise InvalidSpec("spec.price.currency", price.currency, remedy, reason="CurrencyMismatch")
    return parse_amount(price.per_accelerator_hour)


def _check_rate(pool: GPUNodePool, row: AcceleratorSpec) -> None:
    """Something must say how fast it is."""
    if pool.spec.rate is None and not row.peak_flops:
        remedy = f"pool {pool.metadata.name}: nobody publishes a rate for {row.name}; set spec.rate.flopsPerSecond as measured"
        raise InvalidSpec("spec.rate", None, remedy)


def _memory(pool: GPUNodePool, row: AcceleratorSpec) -> int | None:
    """The pool's own statement, else the catalogue's."""
    return parse_quantity(pool.spec.accelerator_memory) if pool.spec.accelerator_memory is not None else row.memory_bytes


def _network(pool: GPUNodePool) -> float | None:
    rate = pool.spec.network_bytes_per_second
    return None if rate is None else float(rate)


def _bandwidth(pool: GPUNodePool) -> float | None:
    rate = pool.spec.rate
    return float(rate.memory_bytes_per_second) if rate is not None and rate.memory_bytes_per_second is not None else None
