from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ledger.builders import after, attempt, checkpoint, pod, progress, record, running, settled

from farthing.api.amounts import Axis, amounts
from farthing.api.job_status import HoldStatus
from farthing.api.spend import SpendRecord
from farthing.ledger.balance import balance, spent_so_far

LIMITS = {Axis.COST: Decimal("0.06"), Axis.TOKENS: Decimal(1000)}


def test_settled_counts_as_spent_and_open_as_held() -> None:
    books = balance(
        LIMITS,
        [
            settled(1, charged={Axis.COST: Decimal("0.01")}, lineage_tokens="400", tokens_processed="500"),
            record(number=2, held={Axis.COST: Decimal("0.02"), Axis.TOKENS: Decimal(600)}),
        ],
    )
    assert books.spent[Axis.COST] == Decimal("0.01")
    assert books.held == {Axis.COST: Decimal("0.02"), Axis.TOKENS: Decimal(600)}
    assert books.remaining == {Axis.COST: Decimal("0.03"), Axis.TOKENS: Decimal(0)}
    assert (books.lineage_tokens, books.tokens_processed) == (400, Decimal(500))


def test_a_rollback_lowers_the_tokens_but_not_what_was_processed() -> None:
    first = settled(1, lineage_tokens="400", tokens_processed="400")
    second = settled(2, lineage_tokens="300", tokens_processed="100")
    unknown = settled(3)
    books = balance(LIMITS, [first, second, unknown])
    assert (books.lineage_tokens, books.tokens_processed) == (300, Decimal(500))
    assert books.remaining[Axis.TOKENS] == 700


def test_a_hold_without_a_record_is_held_and_one_with_a_record_is_not_counted_twice() -> None:
    hold = HoldStatus(attempt="lm-abcde-1", amounts=amounts({Axis.COST: Decimal("0.04")}))
    assert balance(LIMITS, [], [hold]).remaining[Axis.COST] == Decimal("0.02")
    assert balance(LIMITS, [settled(1, charged={Axis.COST: Decimal("0.01")})], [hold]).remaining[Axis.COST] == Decimal("0.05")


def test_what_is_left_is_rounded_down_and_never_negative() -> None:
    assert balance({Axis.COST: Decimal("0.0000019")}, []).remaining[Axis.COST] == Decimal("0.000001")
    over = settled(1, charged={Axis.COST: Decimal(1)})
    assert balance(LIMITS, [over]).remaining[Axis.COST] == 0


AMOUNTS = st.fixed_dictionaries({Axis.COST: st.decimals(0, 1, places=6), Axis.FLOPS: st.integers(0, 10**15).map(Decimal)})


@st.composite
def any_records(draw: st.DrawFn) -> list[SpendRecord]:
    records = []
    for number in range(1, draw(st.integers(1, 6)) + 1):
        if draw(st.booleans()):
            lineage = draw(st.none() | st.integers(0, 1000).map(str))
            records.append(settled(number, charged=draw(AMOUNTS), lineage_tokens=lineage))
        else:
            records.append(record(number=number, held=draw(AMOUNTS)))
    return records


@given(any_records(), st.data())
def test_the_fold_depends_on_no_order_and_on_no_repetition(records: list[SpendRecord], data: st.DataObject) -> None:
    stale = [record(number=one.spec.number, held={Axis.COST: Decimal(9)}) for one in records if one.status.phase == "Settled"]
    repeated = data.draw(st.permutations([*records, *records, *stale]))
    assert balance(LIMITS, repeated) == balance(LIMITS, records)


def test_live_figures_lie_between_what_is_known_and_what_may_be() -> None:
    live = attempt(running(0), running(1), progress=progress(10, checkpoint=checkpoint(8, 8000)), progress_at=after(90))
    figures = spent_so_far(live, after(101))
    assert figures.lower[Axis.COST] == figures.upper[Axis.COST] == Decimal("0.027778")
    assert (figures.lower[Axis.FLOPS], figures.upper[Axis.FLOPS]) == (10**9, 10**9 + 2 * 10**9 * 11)
    assert figures.lower[Axis.TOKENS] == 8000
    silent = spent_so_far(attempt(running(0), running(1)), after(101))
    assert silent.lower[Axis.FLOPS] == 0


def test_an_unreachable_node_may_cost_everything_that_is_held() -> None:
    figures = spent_so_far(attempt(running(0), pod(1), unreachable_nodes=("n1",)), after(50))
    assert figures.upper[Axis.COST] == Decimal("0.06")
    assert figures.lower[Axis.COST] < Decimal("0.06")


def test_a_settled_attempt_has_one_figure() -> None:
    one = settled(1, charged={Axis.COST: Decimal("0.01")})
    figures = spent_so_far(attempt(record=one), after(50))
    assert figures.lower == figures.upper == {Axis.COST: Decimal("0.01")}
    blank = one.model_copy(update={"status": one.status.model_copy(update={"charged": None})})
    assert spent_so_far(attempt(record=blank), after(50)).lower == {}
