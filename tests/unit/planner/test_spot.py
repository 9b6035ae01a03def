"""Spot against on-demand: rule C14's numbers, a simulation, and that the sums hold."""

from math import inf, nan
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from farthing.errors import InvalidSpec, MissingPrice
from farthing.planner.spot import (
    Capacity,
    Recovery,
    break_even_discount,
    compare,
    daly_interval,
    outlook,
    quote,
    young_waste,
)

DAY = 86400.0
saves = st.floats(0.5, 300.0)
means = st.floats(3600.0, 30 * DAY)


@pytest.mark.parametrize(
    ("save", "mean", "interval", "waste"),
    [(60, 7200, 930, 0.129), (5, 7200, 268, 0.037), (60, 1800, 465, 0.258), (5, 1800, 134, 0.075)],
)
def test_the_numbers_of_rule_c14(save, mean, interval, waste):
    young = (2 * save * mean) ** 0.5
    assert young == pytest.approx(interval, rel=0.01)
    assert young_waste(save, young, mean) == pytest.approx(waste, abs=0.001)
    assert daly_interval(save, mean) == pytest.approx(young, rel=0.09)
    found = outlook(1e6, 1, Capacity("x", 1.0, crash_mean=mean), Recovery(save, 0.0))
    assert found.paid_seconds / 1e6 - 1 == pytest.approx(
        waste, rel=0.25
    )  # the first order leaves out failures in repeated work


def test_the_expectation_agrees_with_a_simulation():
    save, restart, mean, useful = 30.0, 120.0, 3600.0, 20_000.0
    expected = outlook(useful, 2, Capacity("x", 1.0, crash_mean=2 * mean), Recovery(save, restart))
    random, paid, failures = Random(7), 0.0, 0
    runs = 400
    for _ in range(runs):
        time, broken = simulate(random, useful, expected.interval_seconds, save, restart, mean)
        paid, failures = paid + time, failures + broken
    assert paid / runs == pytest.approx(expected.paid_seconds - restart, rel=0.02)
    assert failures / runs == pytest.approx(expected.interruptions, rel=0.05)


def simulate(random, useful, interval, save, restart, mean):
    time, failures, done, recovering = 0.0, 0, 0.0, False
    while done < useful:
        length = min(interval, useful - done)
        needed = length + save * length / interval + (restart if recovering else 0.0)
        failure = random.expovariate(1 / mean)
        if failure < needed:
            time, failures, recovering = time + failure, failures + 1, True
        else:
            time, done, recovering = time + needed, done + length, False
    return time, failures


@given(st.floats(100.0, 1e7), st.integers(1, 16), saves, st.floats(0.0, 600.0), means, means, st.sampled_from([0.0, 120.0]))
def test_the_parts_add_up(useful, nodes, save, restart, preemption, crash, notice):
    capacity = Capacity("x", 1.0, preemption, crash, notice, wait_seconds=60.0)
    assume(save + restart < min(preemption, crash) / nodes)  # else refused: no segment is ever saved
    found = outlook(useful, nodes, capacity, Recovery(save, restart))
    parts = (found.lost_seconds, found.checkpoint_seconds, found.restart_seconds, found.wait_seconds)
    assert all(part >= 0 for part in parts)
    assert 0 < found.efficiency <= 1
    assert found.wall_seconds == pytest.approx(useful + sum(parts))


@given(st.floats(1e4, 1e6), saves, means, st.floats(1.0, 50.0))
def test_rarer_failures_never_cost_more(useful, save, mean, factor):
    often, seldom = (outlook(useful, 1, Capacity("x", 1.0, crash_mean=m), Recovery(save, 60.0)) for m in (mean, mean * factor))
    assert seldom.paid_seconds <= often.paid_seconds * 1.001
    assert seldom.interruptions <= often.interruptions * 1.001


@given(st.floats(1e4, 1e6), st.floats(1.0, 10.0), st.integers(1, 8))
def test_more_work_and_more_nodes_never_cost_less(useful, factor, nodes):
    capacity, recovery = Capacity("x", 2.0, preemption_mean=2 * DAY, notice_seconds=30), Recovery(10.0, 60.0)
    here = quote(useful, nodes, capacity, recovery)
    assert quote(useful * factor, nodes, capacity, recovery).cost >= here.cost
    assert quote(useful, nodes + 1, capacity, recovery).cost >= here.cost


def test_steady_capacity_pays_its_start_and_its_last_save():
    found = outlook(3600.0, 4, Capacity("x", 1.0), Recovery(10.0, 90.0))
    assert (found.interruptions, found.lost_seconds, found.paid_seconds) == (0.0, 0.0, 3700.0)
    assert found.interval_seconds == inf


def test_a_notice_as_long_as_a_save_loses_no_work():
    sudden = outlook(1e5, 1, Capacity("x", 1.0, preemption_mean=7200.0, notice_seconds=59), Recovery(60.0, 0.0))
    graceful = outlook(1e5, 1, Capacity("x", 1.0, preemption_mean=7200.0, notice_seconds=60), Recovery(60.0, 0.0))
    assert graceful.lost_seconds == 0.0 < sudden.lost_seconds
    assert graceful.interruptions == pytest.approx(1e5 / 7200, rel=0.02)
    assert graceful.paid_seconds < sudden.paid_seconds


def test_a_small_discount_does_not_pay_for_the_interruptions():
    recovery = Recovery(60.0, 300.0)
    steady = Capacity("on-demand", 10.0, crash_mean=30 * DAY)
    spot = Capacity("spot", 9.5, preemption_mean=2 * 3600.0, crash_mean=30 * DAY, wait_seconds=600.0)
    cheap = Capacity("cheap-spot", 4.0, preemption_mean=2 * 3600.0, crash_mean=30 * DAY, wait_seconds=600.0)
    quotes = compare(1e5, 1, [steady, spot, cheap], recovery)
    assert [q.outlook.capacity for q in quotes] == ["cheap-spot", "on-demand", "spot"]
    needed = break_even_discount(quotes[1].outlook, quotes[0].outlook)
    assert 0.05 < needed < 0.6
    assert quotes[0].price_per_useful_hour == pytest.approx(4.0 / quotes[0].outlook.efficiency)
    hurried = compare(1e5, 1, [steady, cheap], recovery, seconds_left=1.05e5)
    assert [q.outlook.capacity for q in hurried] == ["on-demand", "cheap-spot"]


def test_capacity_that_never_saves_is_refused_and_left_out():
    broken = Capacity("flaky", 0.1, preemption_mean=1.0)
    with pytest.raises(InvalidSpec, match="flaky fails every"):
        outlook(1e5, 8, broken, Recovery(600.0, 600.0))
    assert [q.outlook.capacity for q in compare(1e5, 8, [broken, Capacity("steady", 1.0)], Recovery(600.0, 600.0))] == [
        "steady"
    ]


def test_a_missing_price_names_the_row():
    with pytest.raises(MissingPrice, match="currency and source to pool-a"):
        quote(1e5, 1, Capacity("pool-a", None), Recovery(1.0, 1.0))


@pytest.mark.parametrize("bad", [0.0, -1.0, nan])
def test_bad_numbers_are_refused(bad):
    with pytest.raises(InvalidSpec):
        Capacity("x", 1.0, preemption_mean=bad)
    with pytest.raises(InvalidSpec):
        outlook(bad, 1, Capacity("x", 1.0), Recovery(1.0, 1.0))


def test_bad_prices_and_times_are_refused():
    with pytest.raises(InvalidSpec):
        quote(1.0, 1, Capacity("x", nan), Recovery(1.0, 1.0))
    with pytest.raises(InvalidSpec):
        Recovery(-1.0, 0.0)
    with pytest.raises(InvalidSpec):
        compare(1.0, 0, [Capacity("x", 1.0)], Recovery(1.0, 1.0))


def test_saves_longer_than_the_time_between_failures():
    assert daly_interval(100.0, 40.0) == 40.0
    assert daly_interval(100.0, inf) == inf
