"""Pools and money in one word each: what `--pool` and `--budget` of `farthing plan --model` take."""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from farthing.catalog import accelerator, accelerators
from farthing.catalog.devices import device
from farthing.catalog.prices import CURRENCY, listed_price
from farthing.cli.manifests import pools_in, read_manifests
from farthing.domain.planning import PoolOffer
from farthing.errors import InvalidSpec, MissingPrice, UnknownAccelerator
from farthing.planner.offers import pool_offer
from farthing.planner.request import measured_startup

GRAMMAR = "[NAME=]ACCELERATOR[xPER_NODE[xNODES]][:spot][@PRICE]"
"""NAME: to show, else what stands here. PER_NODE and NODES: 1 where absent. PRICE: of one accelerator and hour."""
EXAMPLES = "h100x8, h100x8x4:spot@1.2 or big=a100-80gbx8@2.5usd"
_POOL = re.compile(r"^(?:(?P<name>[^=]*)=)?(?P<gang>[^=:@]*)(?::(?P<kind>[^@]*))?(?:@(?P<price>.*))?$")
_SIZES = re.compile(r"x([0-9]+)(?:x([0-9]+))?$", re.IGNORECASE)
_WRITTEN = re.compile(r"@[0-9.]+\s*([A-Za-z]{3})$")
_MONEY = re.compile(r"^\s*(?P<amount>[0-9.]+)\s*(?P<currency>[A-Za-z]{3})?\s*$")


def money(option: str, text: str) -> tuple[Decimal, str | None]:
    """`500usd`, `500 USD` or `500`: the amount, above 0, and its currency if one stands there. Raises InvalidSpec."""
    match = _MONEY.match(text)
    try:
        amount = Decimal(match["amount"]) if match else Decimal(0)
    except InvalidOperation:
        amount = Decimal(0)
    if match is None or amount <= 0:
        raise InvalidSpec(option, text, "write an amount above 0 and its currency, for example 500usd")
    return amount, (match["currency"] or "").upper() or None


def asked_pools(
    words: Sequence[str], file: Path | None, currency: str | None, *, costs: bool
) -> tuple[tuple[PoolOffer, ...], tuple[str, ...]]:
    """Pools in words, then those of a file of GPUNodePools with all that these say of themselves; and notes on prices.

    currency: the budget's; None: the first that a price is in. Raises as `pool_words`, and InvalidSpec where there is no pool.
    """
    pools = pools_in(read_manifests(file), str(file)) if file is not None else []
    priced = [pool.spec.price.currency for pool in pools if pool.spec.price is not None]
    currency = currency or _written_currency(words) or next(iter(priced), CURRENCY)
    offers, notes = pool_words(words, currency, costs=costs)
    started = measured_startup(pools)
    offers += tuple(pool_offer(pool, currency, costs=costs, startup_seconds=started) for pool in pools)
    if not offers:
        raise InvalidSpec("--pool", None, "name at least one, for example --pool h100x8@2.5, or --pools FILE of GPUNodePools")
    names = [offer.name for offer in offers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidSpec("--pools", ", ".join(twice), "two pools have that name; give one of them another")
    return offers, notes


def _written_currency(words: Sequence[str]) -> str | None:
    """The first that a price is written in."""
    return next((found[1].upper() for word in words if (found := _WRITTEN.search(word))), None)


def pool_words(words: Sequence[str], currency: str | None, *, costs: bool) -> tuple[tuple[PoolOffer, ...], tuple[str, ...]]:
    """The pools, and notes on prices that were taken from price lists. `costs`: money is limited, so each needs a price.

    currency: the budget's; None: the first that a price is written in, else `CURRENCY`. Raises InvalidSpec that names the piece
    of the word, UnknownAccelerator, and MissingPrice.
    """
    currency = currency or _written_currency(words) or CURRENCY
    offers: list[PoolOffer] = []
    notes: list[str] = []
    for word in words:
        offer, note = _pool(word, currency, costs)
        if offer.name in {each.name for each in offers}:
            raise InvalidSpec("--pool", word, f"there is a pool {offer.name} already; give one a name, as in b={word}")
        offers.append(offer)
        notes += note
    return tuple(offers), tuple(notes)


def _pool(word: str, currency: str, costs: bool) -> tuple[PoolOffer, list[str]]:
    match = _POOL.match(word)
    if match is None or match["name"] == "":
        raise InvalidSpec("--pool", word, f"write {GRAMMAR}, for example {EXAMPLES}")
    if match["kind"] not in (None, "spot"):
        raise InvalidSpec("--pool", word, f":{match['kind']} is not known; only :spot may stand there")
    spot = match["kind"] is not None
    label, per_node, nodes = _gang(word, match["gang"])
    row = accelerator(label)
    if not row.peak_flops:
        remedy = f"nobody publishes a rate for {label}; write a GPUNodePool with spec.rate and ask with -f JOB --pools FILE"
        raise InvalidSpec("--pool", word, remedy)
    name = match["name"] or match["gang"].lower() + ("-spot" if spot else "")
    price, notes = _price(word, match["price"], label, name, spot, currency, costs)
    offer = PoolOffer(
        name=name,
        accelerator=row,
        accelerators_per_node=per_node,
        accelerators=per_node * nodes,
        price_per_accelerator_hour=price,
        currency=currency if price is not None else None,
        spot=spot,
        memory_bytes=row.memory_bytes,
    )
    return offer, notes


def _gang(word: str, text: str) -> tuple[str, int, int]:
    """The catalogue's name, accelerators per node, nodes. A name may end like a size (RTX4090): the longest known one wins."""
    sizes = _SIZES.search(text)
    splits = [(text, "1", "1")]
    if sizes is not None:
        first, second = sizes.groups()
        if second is not None:
            splits.append((text[: -len(second) - 1], second, "1"))
        splits.append((text[: sizes.start()], first, second or "1"))
    for label, per_node, nodes in splits:
        known = _known(label)
        if known is None:
            continue
        if int(per_node) < 1 or int(nodes) < 1:
            raise InvalidSpec("--pool", word, "accelerators per node and nodes count from 1, as in h100x8x4")
        return known, int(per_node), int(nodes)
    wanted = " or ".join(repr(label) for label, _, _ in splits[1:] or splits)
    raise UnknownAccelerator(
        f"--pool {word}: {wanted} is not in the catalogue: use one of {', '.join(row.name for row in accelerators())}, "
        "in any case, or a short form such as h100 or a100-80gb, with sizes as in h100x8 or h100x8x4"
    )


def _known(label: str) -> str | None:
    """The catalogue's name for a name or alias in any case."""
    if label.lower() == "cpu-slot":
        return "cpu-slot"
    found = device(label)
    return found.name if found is not None else None


def _price(
    word: str, text: str | None, row: str, name: str, spot: bool, currency: str, costs: bool
) -> tuple[Decimal | None, list[str]]:
    """The price that the word states, else the middle of the listed ones with a note; None where there is none."""
    if text is not None:
        amount, written = money(f"--pool {word}: price", text)
        if written not in (None, currency):
            raise InvalidSpec(f"--pool {word}: price", text, f"everything else is in {currency}; state the price in it")
        return amount, []
    listed = listed_price(row, spot=spot) if currency == CURRENCY else None
    if listed is not None:
        kind = "spot" if spot else "on-demand"
        return listed.middle, [
            f"pool {name}: no price given; reckoned with {listed.middle} {CURRENCY} an accelerator-hour, the middle of listed "
            f"{kind} prices ({listed.low}-{listed.high}, read {listed.as_of}); write {word}@PRICE for yours"
        ]
    if costs:
        raise MissingPrice(
            f"--pool {word}: no price given, and catalog/prices.toml lists none in {currency} for {row}"
            f"{' on spot' if spot else ''}: write {word}@PRICE, per accelerator-hour, or add a row there with its source"
        )
    return None, []
