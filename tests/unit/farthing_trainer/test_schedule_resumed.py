"""The schedule under interruption: a pure function of the step, so that no attempt can tell where another one stopped."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from farthing.contract.checkpoint import Landing
from farthing.contract.runconfig import ScheduleConfig
from farthing_trainer.agreement import _pack, _unpack
from farthing_trainer.schedule import decide_landing, landing_for, learning_rate, resumed_landing, stable_rate

PEAK = 3e-3
totals = st.integers(1, 80)
schedules = st.builds(
    ScheduleConfig,
    warmup_steps=st.integers(0, 60),
    landing_fraction=st.floats(0.02, 0.9),
    landing_shape=st.sampled_from(["OneMinusSqrt", "Linear"]),
)


def rates(schedule: ScheduleConfig, landing: Landing, after: int = 0) -> list[float]:
    """Of all steps after one."""
    return [learning_rate(step, PEAK, schedule, landing) for step in range(after + 1, landing.last_step + 1)]


@given(total=totals, schedule=schedules)
def test_a_run_resumed_after_any_step_has_the_landing_and_the_rates_of_a_straight_one(total: int, schedule: ScheduleConfig):
    """The landing goes through the manifest's JSON each time; the new attempt works its own out of the same token limit."""
    landing = landing_for(total, PEAK, schedule)
    straight = rates(schedule, landing)
    for step in range(total):
        written = Landing.model_validate_json(landing.to_json())
        resumed = resumed_landing(landing_for(total, PEAK, schedule), written, step, PEAK, schedule)
        assert resumed == landing
        assert rates(schedule, landing, after=step) == straight[step:]


@given(total=totals, schedule=schedules)
def test_a_token_limit_fixes_the_landing_once_and_no_step_moves_it(total: int, schedule: ScheduleConfig):
    landing = landing_for(total, PEAK, schedule)
    decided = [decide_landing(landing, step, total - step, total - step, PEAK, schedule) for step in range(1, total + 1)]
    assert set(decided) == {None}


@given(
    version=st.integers(1, 9), first=st.integers(1, 2**50), length=st.integers(0, 2**50), rate=st.floats(0, 1, allow_nan=False)
)
def test_a_landing_that_rank_0_tells_arrives_bit_for_bit(version: int, first: int, length: int, rate: float):
    landing = Landing(version=version, first_step=first, last_step=first + length, lr_at_first=rate)
    assert _unpack(_pack(landing)) == landing
    assert _unpack(_pack(None)) is None


@given(total=st.integers(2, 80), schedule=schedules, data=st.data())
def test_a_limit_lowered_in_the_landing_cuts_it_once_and_never_raises_the_rate(
    total: int, schedule: ScheduleConfig, data: st.DataObject
):
    landing = landing_for(total, PEAK, schedule)
    step = data.draw(st.integers(max(1, landing.first_step - 1), total - 1))
    lowered = landing_for(data.draw(st.integers(1, total - 1)), PEAK, schedule)
    cut = resumed_landing(lowered, landing, step, PEAK, schedule)
    assert cut is not None
    assert (cut.version, cut.last_step) == (2, max(step, lowered.last_step))
    after = rates(schedule, cut, after=step)
    warm = [stable_rate(number, PEAK, schedule) for number in range(step + 1, cut.last_step + 1)]
    all_rates = pairwise([learning_rate(step, PEAK, schedule, landing), *after])
    assert all(later <= max(earlier, top) for (earlier, later), top in zip(all_rates, warm, strict=True))
    for resumed_after in range(step, cut.last_step):
        again = resumed_landing(lowered, cut, resumed_after, PEAK, schedule)
        assert again is not None
        assert rates(schedule, again, after=resumed_after) == rates(schedule, cut, after=resumed_after)


@given(total=totals, more=st.integers(1, 400), schedule=schedules)
def test_a_limit_raised_before_the_landing_gives_the_run_of_the_higher_limit(total: int, more: int, schedule: ScheduleConfig):
    """Resumed from the trunk or earlier: as if the limit had been the higher one from the start."""
    landing, higher = landing_for(total, PEAK, schedule), landing_for(total + more, PEAK, schedule)
    for step in range(min(landing.first_step, higher.first_step)):
        assert resumed_landing(higher, landing, step, PEAK, schedule) == higher


@given(version=st.integers(1, 5), first=st.integers(1, 300), length=st.integers(1, 100), schedule=schedules)
def test_a_landing_that_the_clock_decided_is_kept_by_whoever_resumes(
    version: int, first: int, length: int, schedule: ScheduleConfig
):
    """No token limit is known: only the checkpoint says where the landing lies, and only once it has begun."""
    landing = Landing(version=version, first_step=first, last_step=first + length, lr_at_first=PEAK)
    for step in range(first + length):
        assert resumed_landing(None, landing, step, PEAK, schedule) == (landing if step >= first - 1 else None)
