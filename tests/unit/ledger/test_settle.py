from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ledger.builders import (
    ENDS,
    NAME,
    after,
    attempt,
    checkpoint,
    holding,
    job,
    pod,
    progress,
    quote,
    record,
    unbound,
)
from tests.unit.ledger.test_evidence import any_attempt

from farthing.api.amounts import Axis
from farthing.api.spend import SpendRecordStatus
from farthing.contract.progress import LastWord, MemoryReport, Progress, SecondsByCause
from farthing.domain.outcome import Outcome
from farthing.domain.snapshot import Attempt
from farthing.ledger.settle import settlement
from farthing.units import format_time

NOW = after(150)


def settle(what: Attempt, **facts: Any) -> SpendRecordStatus:
    return settlement(what, **{"now": NOW, "acknowledged": False, "deleted": False, **facts})


def charged(status: SpendRecordStatus) -> dict[Axis, Decimal]:
    assert status.charged is not None
    return status.charged.as_decimals()


def spoken(word: Progress, exit_code: int = 0, **facts: Any) -> Attempt:
    """A gang of two whose rank 0 left this last word."""
    last = LastWord(exit_code=exit_code, reason="Landed", progress=word)
    return attempt(pod(0, exit_code=exit_code, last_word=last), pod(1), **facts)


def leased(**held: str) -> Any:
    more = {Axis(axis): Decimal(amount) for axis, amount in held.items()}
    return record(held={**holding("0.5", ENDS, 2), **more}, flops_lease=held.get("flops"))


def test_a_landed_attempt_has_a_full_bill() -> None:
    word = progress(
        120,
        resumed_from=20,
        first_step=21,
        tokens_processed=100_000,
        tokens_per_second=1234.5678,
        validation_loss=4.75,
        memory=MemoryReport(allocated=1, peak=900_000_000),
        checkpoint=checkpoint(110, 110_000),
    )
    status = settle(spoken(word))
    assert (status.phase, status.outcome, status.exit_code) == ("Settled", Outcome.LANDED, 0)
    assert charged(status) == {
        Axis.COST: Decimal("0.027778"),
        Axis.ACCELERATOR_HOURS: Decimal("0.055556"),
        Axis.FLOPS: Decimal("1.2e10"),
        Axis.TOKENS: Decimal(100_000),
    }
    assert [(part.seconds, part.cost) for part in status.intervals] == [(100, "0.027778")]
    assert (status.first_step, status.last_step, status.resumed_from, status.lost_steps) == (21, 120, 20, 0)
    assert (status.lineage_tokens, status.tokens_processed, status.flops) == ("120000", "100000", "12000000000")
    assert (status.started_at, status.ready_at, status.ended_at) == tuple(format_time(after(at)) for at in (1, 13, 101))
    assert (status.peak_memory, status.tokens_per_second, status.validation_loss) == ("900000000", "1234.57", "4.75")
    assert status.checkpoint_seconds == "1.5"
    assert not status.estimated
    assert status.waste is not None
    assert status.waste.model_dump() == {"startup": "12", "checkpoint": "5", "replay": "0", "evaluation": "3", "idle": "10"}


def test_the_lineage_ends_at_the_newest_manifest() -> None:
    killed = settle(spoken(progress(100, checkpoint=checkpoint(80, 80_000)), 1))
    assert (killed.outcome, killed.lineage_tokens, killed.lost_steps) == (Outcome.FAILED, "80000", 20)
    assert charged(killed)[Axis.TOKENS] == 80_000
    resumed = progress(100, resumed_from=90, tokens_processed=10_000)
    nothing_saved = settle(spoken(resumed, 1))
    assert (nothing_saved.lineage_tokens, nothing_saved.lost_steps) == ("90000", 10)
    assert charged(nothing_saved)[Axis.TOKENS] == 0


def test_tokens_are_the_growth_of_the_lineage_since_the_last_bill() -> None:
    word = progress(100, resumed_from=90, tokens_processed=10_000)
    assert charged(settle(spoken(word), lineage_before=80_000))[Axis.TOKENS] == 20_000
    assert charged(settle(spoken(word), lineage_before=300_000))[Axis.TOKENS] == 0


def test_a_price_change_is_two_intervals() -> None:
    books = record(status=SpendRecordStatus(quotes=[quote("0.7", at=51)]))
    status = settle(spoken(progress(), record=books))
    assert [(part.seconds, part.per_accelerator_hour) for part in status.intervals] == [(50, "0.5"), (50, "0.7")]
    assert charged(status)[Axis.COST] == sum(Decimal(part.cost) for part in status.intervals) == Decimal("0.033334")
    assert status.quotes == books.status.quotes


def test_a_missing_last_word_bounds_the_flops() -> None:
    scraped = attempt(pod(0, exit_code=137), pod(1), progress=progress(10), progress_at=after(81))
    status = settle(scraped)
    assert charged(status)[Axis.FLOPS] == Decimal(10 * 10**8) + Decimal(10**9) * 2 * 20
    assert status.estimated
    assert "FLOPs are an upper bound" in status.message
    silent = settle(attempt(pod(0, exit_code=137), pod(1)))
    assert charged(silent)[Axis.FLOPS] == Decimal(10**9) * 2 * 100


def test_the_flops_bound_never_exceeds_the_lease() -> None:
    silent = attempt(pod(0, exit_code=137), pod(1), record=leased(flops="5000000000"))
    assert charged(settle(silent))[Axis.FLOPS] == 5 * 10**9
    assert settle(silent).flops == "5000000000"
    unknown = record(peak_flops_per_second=None, flops_lease="7e9", held={Axis.FLOPS: Decimal("7e9")})
    assert charged(settle(attempt(pod(0, exit_code=137), pod(1), record=unknown)))[Axis.FLOPS] == 7 * 10**9
    unlimited = record(peak_flops_per_second=None)
    assert charged(settle(attempt(pod(0, exit_code=137), pod(1), record=unlimited)))[Axis.FLOPS] == 0


def test_no_flops_where_no_model_ran() -> None:
    never = {"finished_at": None, "exit_code": 137, "container_reason": "ContainerStatusUnknown", "terminal_at": after(70)}
    assert charged(settle(attempt(pod(0, **never), pod(1, **never))))[Axis.FLOPS] == 0
    preparing = attempt(pod(0, exit_code=137), pod(1), record=record(stage="Prepare"))
    assert charged(settle(preparing)).keys() == {Axis.COST, Axis.ACCELERATOR_HOURS, Axis.FLOPS}
    assert charged(settle(preparing))[Axis.FLOPS] == 0


def test_the_prepare_stage_has_no_steps() -> None:
    word = progress(0, stage="Prepare", phase="Preparing", seconds=SecondsByCause(prepare=80), first_step=None)
    status = settle(spoken(word, record=record(stage="Prepare")))
    assert (status.outcome, status.last_step, status.lineage_tokens) == (Outcome.PREPARED, None, None)
    assert status.ready_at == format_time(after(3))


def test_what_never_started_costs_nothing() -> None:
    status = settle(attempt(unbound(0), unbound(1)))
    assert status.outcome == Outcome.NEVER_STARTED
    assert set(charged(status).values()) == {Decimal(0)}
    assert (status.intervals, status.started_at, status.ready_at) == ([], None, None)


def test_a_start_up_that_never_ended_is_waste() -> None:
    no_image = {"finished_at": None, "exit_code": 137, "container_reason": "ContainerStatusUnknown", "terminal_at": after(70)}
    late = attempt(pod(0, **no_image), pod(1, **no_image), job=job(failed_reason="DeadlineExceeded", finished_at=after(71)))
    status = settle(late)
    assert status.outcome == Outcome.PODS_READY_TIMEOUT
    assert status.waste is not None
    assert status.waste.startup == "69"
    loading = settle(spoken(progress(0, phase="Loading"), 75))
    assert loading.ready_at is None


def test_an_overrun_is_the_pools_and_is_told() -> None:
    status = settle(attempt(pod(0, finished_at=after(400), exit_code=137), pod(1)), now=after(500))
    assert "184 s past the hard end are borne by the pool" in status.message
    assert charged(status)[Axis.COST] == Decimal("0.06")


def test_another_attempts_report_is_no_evidence() -> None:
    foreign = progress(100, attempt="other-1")
    assert settle(spoken(foreign)).last_step is None
    assert settle(attempt(pod(0), pod(1), progress=foreign)).last_step is None


def test_settled_is_settled() -> None:
    over = record(status=SpendRecordStatus(phase="Settled", message="done"))
    assert settle(attempt(pod(0), pod(1), record=over)) is over.status


def test_settling_again_gives_the_same_bill() -> None:
    what = spoken(progress())
    again = settle(what, now=after(400))
    assert again.model_copy(update={"settled_at": None}) == settle(what).model_copy(update={"settled_at": None})


@pytest.mark.parametrize("price", [None, "0.5"])
def test_cost_is_charged_where_a_price_is_known(price: str | None) -> None:
    assert (Axis.COST in charged(settle(spoken(progress(), record=record(price=price))))) == (price is not None)


@given(
    any_attempt(),
    st.floats(0, 1000).map(after),
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from(["0.1", "1", "9"])), max_size=4),
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(0, 10**6),
)
def test_no_evidence_and_no_price_charge_more_than_was_held(
    what: Attempt, now: Any, prices: list[tuple[int, str]], acknowledged: bool, deleted: bool, before: int | None
) -> None:
    held = {**holding("0.5", ENDS, 2), Axis.FLOPS: Decimal(10**10), Axis.TOKENS: Decimal(50_000)}
    noted = what.record.status.started_at
    quotes = [quote(price, at=second) for second, price in sorted(prices)]
    books = record(held=held, flops_lease="1e10", status=SpendRecordStatus(quotes=quotes, started_at=noted))
    what = Attempt(
        record=books,
        job=what.job,
        pods=what.pods,
        progress=what.progress,
        progress_at=what.progress_at,
        unreachable_nodes=what.unreachable_nodes,
    )
    status = settlement(what, now=now, acknowledged=acknowledged, deleted=deleted, lineage_before=before)
    assert what.name == NAME
    assert all(amount <= held[axis] for axis, amount in charged(status).items())
    assert sum(Decimal(part.cost) for part in status.intervals) == charged(status)[Axis.COST]
    assert sum(part.seconds for part in status.intervals) <= ENDS.hard
    assert [part.to for part in status.intervals[:-1]] == [part.from_time for part in status.intervals[1:]]
