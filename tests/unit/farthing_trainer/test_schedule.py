from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.contract.checkpoint import Landing
from farthing.contract.runconfig import ScheduleConfig
from farthing_trainer.schedule import decide_landing, landing_for, learning_rate, stable_rate

PEAK = 6e-3
INF = float("inf")


def a_schedule(warmup: int = 10, fraction: float = 0.2, shape: str = "OneMinusSqrt") -> ScheduleConfig:
    return ScheduleConfig(warmup_steps=warmup, landing_fraction=fraction, landing_shape=shape)


def test_the_warm_up_is_linear_and_ends_at_the_peak():
    rates = [stable_rate(step, PEAK, a_schedule(warmup=4)) for step in (1, 2, 3, 4, 5, 100)]
    assert rates == pytest.approx([PEAK / 4, PEAK / 2, PEAK * 3 / 4, PEAK, PEAK, PEAK])


def test_without_warm_up_the_first_step_has_the_peak():
    assert stable_rate(1, PEAK, a_schedule(warmup=0)) == PEAK


def test_a_known_end_puts_the_landing_into_the_last_share_of_the_run():
    landing = landing_for(100, PEAK, a_schedule(fraction=0.2))
    assert (landing.first_step, landing.last_step, landing.lr_at_first) == (81, 100, PEAK)


@pytest.mark.parametrize(("shape", "middle"), [("Linear", 0.5), ("OneMinusSqrt", 1 - 0.5**0.5)])
def test_the_shape_of_the_landing(shape: str, middle: float):
    landing = Landing(version=1, first_step=11, last_step=20, lr_at_first=PEAK)
    schedule = a_schedule(shape=shape)
    assert learning_rate(11, PEAK, schedule, landing) == PEAK
    assert learning_rate(16, PEAK, schedule, landing) == pytest.approx(PEAK * middle)
    assert learning_rate(21, PEAK, schedule, landing) == 0.0


@given(total=st.integers(1, 500), fraction=st.floats(0.05, 0.9), warmup=st.integers(0, 50))
def test_the_rate_never_rises_in_a_landing_and_is_positive_to_its_last_step(total: int, fraction: float, warmup: int):
    schedule = a_schedule(warmup, fraction)
    landing = landing_for(total, PEAK, schedule)
    rates = [learning_rate(step, PEAK, schedule, landing) for step in range(landing.first_step, total + 1)]
    assert all(later <= earlier for earlier, later in pairwise(rates))
    assert rates[-1] > 0


def test_no_landing_while_the_budget_is_far_away():
    assert decide_landing(None, 100, budget_left=900, left=900, peak=PEAK, schedule=a_schedule()) is None
    assert decide_landing(None, 100, budget_left=INF, left=50, peak=PEAK, schedule=a_schedule()) is None


def test_the_landing_begins_when_what_is_left_is_its_share_of_the_run():
    landing = decide_landing(None, 800, budget_left=200, left=200, peak=PEAK, schedule=a_schedule())
    assert landing == Landing(version=1, first_step=801, last_step=1000, lr_at_first=PEAK)


def test_a_budget_that_moves_before_the_landing_begins_moves_the_landing():
    known = landing_for(1000, PEAK, a_schedule())
    moved = decide_landing(known, 396, budget_left=99, left=99, peak=PEAK, schedule=a_schedule())
    assert moved == Landing(version=1, first_step=397, last_step=495, lr_at_first=PEAK)


def test_a_lease_that_ends_inside_the_landing_cuts_it():
    landing = decide_landing(None, 800, budget_left=200, left=150, peak=PEAK, schedule=a_schedule())
    assert landing is not None
    assert landing.last_step == 950


def test_a_landing_that_can_be_reached_stays_as_it_is():
    fixed = Landing(version=1, first_step=801, last_step=1000, lr_at_first=PEAK)
    assert decide_landing(fixed, 850, budget_left=400, left=150, peak=PEAK, schedule=a_schedule()) is None


def test_a_landing_out_of_reach_is_compressed_from_the_current_rate():
    schedule = a_schedule()
    fixed = Landing(version=1, first_step=801, last_step=1000, lr_at_first=PEAK)
    shorter = decide_landing(fixed, 850, budget_left=400, left=50, peak=PEAK, schedule=schedule)
    assert shorter is not None
    assert (shorter.version, shorter.first_step, shorter.last_step) == (2, 851, 900)
    assert shorter.lr_at_first == learning_rate(851, PEAK, schedule, fixed)


def test_a_landing_with_no_time_left_ends_with_the_step_that_is_being_made():
    fixed = Landing(version=1, first_step=801, last_step=1000, lr_at_first=PEAK)
    cut = decide_landing(fixed, 850, budget_left=0, left=0, peak=PEAK, schedule=a_schedule())
    assert cut is not None
    assert cut.last_step == 850


@given(
    step=st.integers(1, 400),
    budget=st.integers(0, 500),
    lease=st.integers(0, 500),
    fraction=st.floats(0.05, 0.9),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)
def test_no_decision_reaches_past_what_is_left_nor_raises_the_rate(
    step: int, budget: int, lease: int, fraction: float, cuts: list[int]
):
    schedule = a_schedule(fraction=fraction)
    landing = decide_landing(None, step, budget, min(budget, lease), PEAK, schedule)
    before = learning_rate(step, PEAK, schedule, None)
    for left in sorted(cuts, reverse=True):
        step += 1
        if landing is None or step > landing.last_step:
            return
        rate = learning_rate(step, PEAK, schedule, landing)
        assert rate <= max(before, stable_rate(step, PEAK, schedule))
        newer = decide_landing(landing, step, left, left, PEAK, schedule)
        if newer is not None:
            assert newer.last_step <= step + left
            assert newer.version == landing.version + 1
        landing, before = newer or landing, rate
