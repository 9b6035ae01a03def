from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ledger.builders import ENDS, T0, after, quote, record

from farthing.api.amounts import Axis
from farthing.api.pool import PriceSpec
from farthing.api.spend import Quote, SpendRecord, SpendRecordStatus
from farthing.ledger.arithmetic import money, ticks
from farthing.ledger.quotes import MAX_QUOTES, boundary, hard_end_second, intervals, legs, rent, reserve_second
from farthing.units import parse_time

PRICES = st.decimals("0", "9", places=6).map(lambda price: f"{price:f}")


def quoted(*quotes: Quote, **spec: object) -> SpendRecord:
    return record(status=SpendRecordStatus(quotes=list(quotes)), **spec)


def price(per_hour: str, currency: str = "USD") -> PriceSpec:
    return PriceSpec(per_accelerator_hour=per_hour, currency=currency, source="example")


def test_one_quote_pays_the_hold_to_the_second() -> None:
    assert rent(record(), T0, ENDS.hard) == Decimal("0.06")
    assert reserve_second(record(), T0) == ENDS.trainer
    assert hard_end_second(record(), T0) == ENDS.hard


def test_a_dearer_price_brings_the_reserve_forward_until_the_hold_pays_for_it() -> None:
    doubled = quoted(quote("1.0", at=70))
    assert [(leg.second, leg.price) for leg in legs(doubled, T0)] == [
        (0, Decimal("0.5")),
        (70, Decimal("1.0")),
        (120, Decimal("0.5")),
    ]
    assert hard_end_second(doubled, T0) == 120 + 46
    assert rent(doubled, T0, 166) == Decimal("0.06")
    assert rent(doubled, T0, 216) == Decimal("0.06"), "what is past the hard end in force is not the job's"


def test_a_cheaper_price_ends_with_the_reserve() -> None:
    halved = quoted(quote("0.25", at=70))
    assert [(leg.second, leg.price) for leg in legs(halved, T0)][-1] == (ENDS.trainer, Decimal("0.5"))
    assert hard_end_second(halved, T0) == ENDS.hard
    assert rent(halved, T0, ENDS.hard) < Decimal("0.06")


def test_intervals_are_cut_at_boundaries_and_add_up() -> None:
    bill = intervals(quoted(quote("0.7", at=70)), T0, 100, estimated=True)
    assert [(part.seconds, part.per_accelerator_hour, part.estimated) for part in bill] == [
        (70, "0.5", False),
        (30, "0.7", True),
    ]
    assert (bill[0].from_time, bill[0].to, bill[1].to) == (
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:01:10Z",
        "2026-03-01T12:01:40Z",
    )
    assert sum(Decimal(part.cost) for part in bill) == rent(quoted(quote("0.7", at=70)), T0, 100)
    assert intervals(record(), T0, 0, estimated=False) == []


def test_a_quote_from_before_the_bind_holds_from_the_start() -> None:
    early = quoted(quote("0.6", at=-30), quote("0.7", at=-10))
    assert intervals(early, T0, 10, estimated=False)[0].per_accelerator_hour == "0.7"
    assert len(intervals(early, T0, 10, estimated=False)) == 1


def test_without_a_price_nothing_is_charged() -> None:
    free = record(price=None)
    assert rent(free, T0, 100) == 0
    assert intervals(free, T0, 100, estimated=False)[0].per_accelerator_hour is None
    assert reserve_second(free, T0) == ENDS.trainer


def test_a_hold_that_leaves_no_rent_before_the_reserve_reserves_at_once() -> None:
    assert reserve_second(record(held={Axis.COST: Decimal("0.001")}), T0) == 0


def test_a_new_price_applies_from_the_next_whole_second() -> None:
    new = boundary(record(), price("0.8"), after(50.25), started_at=T0)
    assert new is not None
    assert (parse_time(new.from_time), new.per_accelerator_hour, new.currency) == (after(51), "0.8", "USD")
    assert boundary(record(), price("0.8"), after(50), started_at=None) is not None


def test_the_price_stays() -> None:
    assert boundary(record(), None, after(50), started_at=T0) is None, "unknown"
    assert boundary(record(), price("0.50"), after(50), started_at=T0) is None, "the same"
    assert boundary(record(), price("0.8", "EUR"), after(50), started_at=T0) is None, "another currency"
    assert boundary(record(), price("0.8"), after(ENDS.trainer), started_at=T0) is None, "in the reserve"
    over = record(status=SpendRecordStatus(phase="Settled"))
    assert boundary(over, price("0.8"), after(50), started_at=T0) is None, "settled"
    full = quoted(*(quote("0.6") for _ in range(MAX_QUOTES)))
    assert boundary(full, price("0.8"), after(50), started_at=T0) is None, "too many"
    doubled = quoted(quote("1.0", at=70))
    assert boundary(doubled, price("1.0"), after(80), started_at=T0) is None, "the same as the last"
    assert boundary(doubled, price("2.0"), after(119), started_at=T0) is not None
    assert boundary(doubled, price("2.0"), after(120), started_at=T0) is None, "the reserve that came forward"


@given(st.lists(st.tuples(st.integers(-20, 250), PRICES), max_size=6), PRICES)
def test_any_prices_never_cost_more_than_was_held_and_never_reach_back(changes: list[tuple[int, str]], first: str) -> None:
    changes.sort()
    books = record(price=first)
    for at, offer in changes:
        new = boundary(books, price(offer), after(at), started_at=T0)
        if new is None:
            continue
        more = books.model_copy(update={"status": SpendRecordStatus(quotes=[*books.status.quotes, new])})
        past = max(0, at)
        assert [rent(more, T0, second) for second in (past // 2, past)] == [
            rent(books, T0, second) for second in (past // 2, past)
        ]
        books = more
    held = Decimal(books.spec.held.cost or "0")
    end = hard_end_second(books, T0)
    assert end <= ENDS.hard
    assert rent(books, T0, ENDS.hard) <= held
    ladder = legs(books, T0)
    spans = zip(ladder, [*(leg.second for leg in ladder[1:]), end], strict=True)
    assert money(sum(ticks(leg.price, 2, min(until, end) - leg.second) for leg, until in spans)) <= held, "without the cap"
    total = sum(Decimal(part.cost) for part in intervals(books, T0, ENDS.hard, estimated=False))
    assert total == rent(books, T0, ENDS.hard)
    costs = [rent(books, T0, second) for second in range(0, ENDS.hard + 1, 24)]
    assert costs == sorted(costs)
