"""From plans to sizing options: terms that add up, gangs that take their part of a node, and never too many options."""

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ledger.builders import plan

from farthing.domain.plan import Allocation, Prediction
from farthing.planner.sizing_options import OPTIONS, SHARE_STEP, demand, nodes_of, option_of

PER_NODE = {"a": 8, "b": 4}


def number(value):
    return Prediction(value, 0.1, "", "written by hand")


def way(pool="a", pods=1, per_pod=8, tokens=1000.0, seconds=600.0, startup=60.0, cost=10.0):
    return replace(
        plan(),
        allocation=Allocation(pool, "H100-80GB-SXM", pods, per_pod),
        tokens=number(tokens),
        seconds=number(seconds),
        startup_seconds=number(startup),
        cost=None if cost is None else number(cost),
    )


ways = st.builds(
    way,
    pool=st.sampled_from(["a", "b", "elsewhere"]),
    pods=st.integers(1, 4),
    per_pod=st.sampled_from([1, 2, 4]),
    tokens=st.floats(1.0, 1e12),
    seconds=st.floats(0.0, 1e6),
    startup=st.floats(0.0, 1e4),
    cost=st.none() | st.floats(0.0, 1e6),
)


@pytest.mark.parametrize(
    ("pods", "per_pod", "per_node", "nodes"),
    [(1, 8, 8, 1.0), (3, 8, 8, 3.0), (1, 1, 8, 0.125), (1, 3, 8, 0.5), (1, 6, 8, 1.0), (2, 1, 1, 2.0), (1, 8, 4, 1.0)],
)
def test_a_gang_takes_its_part_of_a_node(pods, per_pod, per_node, nodes):
    assert nodes_of(Allocation("a", "x", pods, per_pod), per_node) == nodes


def test_the_start_up_is_a_term_of_its_own_and_nothing_is_counted_twice():
    option = option_of(way(seconds=600.0, startup=95.0), 8, value=2.0)

    assert (option.startup_seconds, option.seconds, option.held_seconds) == (95.0, 505.0, 600.0)
    assert (option.pool, option.nodes, option.cost, option.value) == ("a", 1.0, 10.0, 2.0)


def test_a_run_that_ends_before_it_has_started_trains_for_no_time():
    assert option_of(way(seconds=10.0, startup=95.0), 8, 1.0).seconds == 0.0


def test_a_longer_start_up_is_held_longer():
    short, long = (demand("j", [way(seconds=500.0 + s, startup=s)], PER_NODE).job.options[0] for s in (10.0, 90.0))

    assert long.held_seconds - short.held_seconds == 80.0
    assert long.seconds == short.seconds


def test_an_option_is_worth_its_share_of_the_best_outcome():
    found = demand("j", [way(tokens=1000.0), way(pods=2, tokens=700.0), way("b", per_pod=4, tokens=1.0)], PER_NODE, weight=3.0)

    assert [round(each.value, 9) for each in found.job.options] == [3.0, 2.1, round(3.0 * SHARE_STEP, 9)]


def test_outcomes_that_are_about_equal_leave_the_choice_to_time():
    found = demand("j", [way(tokens=1000.0, seconds=900.0), way(pods=2, tokens=990.0, seconds=500.0)], PER_NODE)

    assert [each.nodes for each in found.job.options] == [2.0, 1.0]


def test_of_each_pool_and_number_of_nodes_the_best_plan_stays():
    slow, fast = way(seconds=900.0), way(seconds=500.0)
    found = demand("j", [slow, fast], PER_NODE, deadline_seconds=1000.0)

    assert list(found.plans.values()) == [fast]
    assert (found.job.name, found.job.deadline_seconds) == ("j", 1000.0)


def test_plans_elsewhere_and_plans_without_an_end_are_left_out():
    assert demand("j", [way("elsewhere"), way(seconds=inf)], PER_NODE).job.options == ()


def test_a_job_without_plans_has_no_options():
    assert demand("j", [], PER_NODE).job.options == ()


def test_of_many_sizes_the_best_and_the_smallest_of_every_pool_stay():
    many = [way("a", pods=n, tokens=1000.0, seconds=10_000.0 / n) for n in range(1, 9)]
    many += [way("b", pods=n, per_pod=4, tokens=500.0, seconds=20_000.0 / n) for n in range(1, 9)]
    options = demand("j", many, PER_NODE, most=4).job.options

    assert sorted((each.pool, each.nodes) for each in options) == [("a", 1.0), ("a", 8.0), ("b", 1.0), ("b", 8.0)]
    assert options[0].nodes == 8.0, "best first"


@given(st.lists(ways, max_size=30), st.sampled_from([1.0, 25.0]))
def test_options_are_few_ordered_and_stand_for_plans_of_the_job(plans, weight):
    found = demand("j", plans, PER_NODE, weight=weight)
    options = found.job.options

    assert len(options) <= OPTIONS
    assert set(found.plans) == set(options)
    assert len({(each.pool, each.nodes) for each in options}) == len(options)
    assert [(-each.value, each.held_seconds) for each in options] == sorted(
        (-each.value, each.held_seconds) for each in options
    )
    assert all(0.0 < each.value <= weight for each in options)
    assert all(found.plans[each] in plans and found.plans[each].allocation.pool == each.pool for each in options)
    assert found == demand("j", plans, PER_NODE, weight=weight)
