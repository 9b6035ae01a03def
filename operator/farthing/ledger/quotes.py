"""Prices over the life of an attempt: quotes fixed in its spend record, never a price read later (DESIGN 4).

A new price applies from the boundary that the operator wrote when it saw it, and only to the part before the *reserve*: the
`hard − trainerEnd` seconds that an orderly end may take keep the first quote. A dearer price uses the hold up sooner, so the
reserve then begins sooner: at the second after which the hold still pays for it. By construction the rent up to the hard end
in force never exceeds the hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import ceil
from typing import Final

from farthing.api.pool import PriceSpec
from farthing.api.spend import Interval, Quote, SpendRecord
from farthing.ledger.arithmetic import money, money_ticks, ticks
from farthing.units import format_micro, format_time, parse_amount, parse_time

MAX_QUOTES: Final = 256
"""maxItems of status.quotes: after so many changes the last price stays."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A quote, in force from this second of the attempt on until the next leg begins."""

    second: int
    quote: Quote

    @property
    def price(self) -> Decimal:
        """Per accelerator-hour; 0 where no price is known."""
        return parse_amount(self.quote.per_accelerator_hour or "0")


def legs(record: SpendRecord, started_at: datetime) -> tuple[Leg, ...]:
    """The quotes by second from `started_at`, the first pod's bind; the last leg is the reserve, at the first quote."""
    ladder = _ladder(record, started_at)
    reserve = _reserve_second(record, ladder)
    before = [leg for leg in ladder if leg.second < reserve] or ladder[:1]
    if before[-1].price != ladder[0].price:
        before.append(Leg(reserve, ladder[0].quote))
    return tuple(before)


def reserve_second(record: SpendRecord, started_at: datetime) -> int:
    """The second from which on no new price applies: the trainer's end, or sooner where a dearer price ate the hold."""
    return _reserve_second(record, _ladder(record, started_at))


def hard_end_second(record: SpendRecord, started_at: datetime) -> int:
    """The hard end in force: how many seconds the hold pays for, at the quotes so far. Never later than the record's own."""
    return reserve_second(record, started_at) + _reserve_length(record)


def boundary(record: SpendRecord, price: PriceSpec | None, now: datetime, *, started_at: datetime | None) -> Quote | None:
    """The quote to append now, or None where the price in force stays.

    It stays where it is the same, unknown or in another currency, once the bill is settled, in the reserve, and after
    MAX_QUOTES. The boundary is the next whole second: never a moment that has passed. `started_at` None: no pod is bound yet.
    """
    if price is None or record.status.phase == "Settled" or len(record.status.quotes) >= MAX_QUOTES:
        return None
    start = started_at or now
    second = _seconds_after(start, now)
    standing = legs(record, start)
    if price.currency != record.spec.quote.currency or second >= reserve_second(record, start):
        return None
    if parse_amount(price.per_accelerator_hour) == _in_force(standing, second).price:
        return None
    return Quote(
        from_time=format_time(start + timedelta(seconds=second)),
        per_accelerator_hour=price.per_accelerator_hour,
        currency=price.currency,
        source=price.source,
    )


def rent(record: SpendRecord, started_at: datetime, seconds: int) -> Decimal:
    """What the gang's first `seconds` cost, rounded up, and never more than the money that was held for them."""
    cost = money(_rent_ticks(legs(record, started_at), _accelerators(record), seconds))
    held = record.spec.held.cost
    return cost if held is None else min(cost, parse_amount(held))


def intervals(record: SpendRecord, started_at: datetime, seconds: int, *, estimated: bool) -> list[Interval]:
    """The held time cut at the quotes' boundaries; the costs add up to `rent` exactly, since each is a difference of two."""
    ladder = legs(record, started_at)
    cuts = [*sorted({leg.second for leg in ladder if leg.second < seconds}), seconds]
    return [
        Interval(
            from_time=format_time(started_at + timedelta(seconds=begin)),
            to=format_time(started_at + timedelta(seconds=end)),
            seconds=end - begin,
            per_accelerator_hour=_in_force(ladder, begin).quote.per_accelerator_hour,
            cost=format_micro(rent(record, started_at, end) - rent(record, started_at, begin)),
            estimated=estimated and end == seconds,
        )
        for begin, end in pairwise(cuts)
    ]


def _ladder(record: SpendRecord, started_at: datetime) -> list[Leg]:
    """Every quote at its second, in the order written; one that begins before an earlier one begins with it."""
    ladder = [Leg(0, record.spec.quote)]
    for quote in record.status.quotes:
        second = max(ladder[-1].second, _seconds_after(started_at, parse_time(quote.from_time)))
        if ladder[-1].second == second and len(ladder) > 1:
            ladder.pop()
        ladder.append(Leg(second, quote))
    return ladder


def _reserve_second(record: SpendRecord, ladder: Sequence[Leg]) -> int:
    """The trainer's end, or the last second before it up to which the hold pays and still leaves the reserve's rent."""
    trainer = record.spec.ends.trainer
    if record.spec.held.cost is None:
        return trainer
    accelerators = _accelerators(record)
    purse = money_ticks(parse_amount(record.spec.held.cost)) - ticks(ladder[0].price, accelerators, _reserve_length(record))
    second = 0
    for leg, end in _spans(ladder, trainer):
        price_ticks = ticks(leg.price, accelerators, 1)
        affordable = end - leg.second if not price_ticks else min(end - leg.second, max(0, purse) // price_ticks)
        purse -= affordable * price_ticks
        second = leg.second + affordable
        if second < end:
            break
    return second


def _spans(ladder: Sequence[Leg], until: int) -> list[tuple[Leg, int]]:
    """Each leg with the second at which it ends, up to `until`."""
    ends = [leg.second for leg in ladder[1:]] + [until]
    return [(leg, min(end, until)) for leg, end in zip(ladder, ends, strict=True) if leg.second < until]


def _rent_ticks(ladder: Sequence[Leg], accelerators: int, seconds: int) -> int:
    return sum(ticks(leg.price, accelerators, end - leg.second) for leg, end in _spans(ladder, seconds))


def _in_force(ladder: Sequence[Leg], second: int) -> Leg:
    return next(leg for leg in reversed(ladder) if leg.second <= second)


def _seconds_after(start: datetime, moment: datetime) -> int:
    return max(0, ceil((moment - start).total_seconds()))


def _reserve_length(record: SpendRecord) -> int:
    return record.spec.ends.hard - record.spec.ends.trainer


def _accelerators(record: SpendRecord) -> int:
    return record.spec.pods * record.spec.accelerators_per_pod
