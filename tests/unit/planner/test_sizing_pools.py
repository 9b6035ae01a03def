"""What jobs ask of pools: nodes now and at most, for how long, at what cost, and what one node more brings."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.planner.test_sizing_options import number, way

from farthing.planner.sizing_options import demand
from farthing.planner.sizing_plan import Placement, SizingOption
from farthing.planner.sizing_pools import NodeMore, size_pools

PER_NODE = {"a": 8, "b": 4}


def job(name, *plans, weight=1.0, deadline=None):
    return demand(name, plans, PER_NODE, weight=weight, deadline_seconds=deadline)


def held(name, nodes=1.0, seconds=300.0):
    return Placement(name, SizingOption("a", nodes, seconds, 0.0, None, 0.0), 0.0)


def test_one_job_asks_for_its_gang_until_its_end():
    size = size_pools([job("x", way(pods=2))], {"a": 4, "b": 1}).pools["a"]

    assert (size.now, size.peak, size.limit, size.seconds, size.node_seconds) == (2, 2, 4, 600.0, 1200.0)
    assert (size.jobs, size.cost, size.more) == (("x",), 10.0, NodeMore())


def test_a_pool_that_nobody_wants_is_asked_for_nothing():
    size = size_pools([job("x", way())], {"a": 1, "b": 3}).pools["b"]

    assert (size.now, size.peak, size.seconds, size.node_seconds, size.jobs, size.cost, size.more) == (
        0, 0, 0.0, 0.0, (), 0.0, NodeMore(),
    )  # fmt: skip


def test_small_gangs_share_a_node():
    sizing = size_pools([job(f"j{n}", way(per_pod=2)) for n in range(5)], {"a": 2})

    assert sizing.pools["a"].now == 2
    assert sizing.pools["a"].node_seconds == pytest.approx(5 * 0.25 * 600.0)
    assert all(each.start_seconds == 0.0 for each in sizing.plan.placements)


def test_three_thirds_of_a_node_are_one():
    jobs = [demand(f"j{n}", [way(per_pod=2)], {"a": 6}) for n in range(3)]

    assert size_pools(jobs, {"a": 1}).pools["a"].peak == 1


def test_where_two_want_one_node_the_second_waits_and_a_node_more_starts_it():
    size = size_pools([job("x", way(seconds=600.0)), job("y", way(seconds=900.0))], {"a": 1}).pools["a"]

    assert (size.now, size.seconds, size.jobs) == (1, 1500.0, ("x", "y"))
    assert size.more == NodeMore(at_once=("y",), seconds=600.0)


def test_a_node_more_lets_a_job_in_that_has_no_time_to_wait():
    size = size_pools([job("x", way()), job("y", way(), deadline=700.0), job("z", way(), deadline=700.0)], {"a": 1}).pools["a"]

    assert len(size.jobs) == 2
    (placed,) = size.more.placed
    assert placed in ("y", "z")
    assert placed in size.more.at_once
    assert size.more.cost == -10.0


def test_a_node_more_can_be_worth_loss():
    good, bad = replace(way(pods=2, tokens=1000.0), loss=number(2.0)), replace(way(tokens=500.0), loss=number(2.5))
    size = size_pools([job("x", good, bad)], {"a": 1}).pools["a"]

    assert size.more == NodeMore(loss=0.5)


def test_what_runs_keeps_its_nodes_and_counts():
    sizing = size_pools([job("x", way(pods=2))], {"a": 3}, holding=[held("r", nodes=2.0)])
    size = sizing.pools["a"]

    assert (size.now, size.peak, size.jobs, size.cost) == (2, 2, ("r", "x"), None)
    assert sizing.plan.placements[0].start_seconds == 300.0
    assert size.more.at_once == ("x",)


def test_a_pool_that_lost_nodes_lets_nothing_start_before_its_gangs_end():
    sizing = size_pools([job("x", way())], {"a": 1}, holding=[held("r", nodes=2.0), held("s", seconds=900.0)])

    assert sizing.plan.placements[0].start_seconds == 900.0
    assert sizing.pools["a"].now == 3


def test_the_common_budget_keeps_jobs_out():
    sizing = size_pools([job("x", way(cost=6.0)), job("y", way(cost=6.0))], {"a": 2}, budget=10.0)

    assert len(sizing.plan.placements) == 1
    assert sizing.plan.cost == 6.0
    assert len(sizing.plan.unplaced) == 1


def test_what_is_worth_more_goes_first():
    sizing = size_pools([job("low", way(), deadline=700.0), job("high", way(), weight=25.0, deadline=700.0)], {"a": 1})

    assert [each.job for each in sizing.plan.placements] == ["high"]


def test_a_search_that_is_cut_short_never_says_that_a_node_more_is_worse():
    jobs = [job(f"j{n}", way(pods=2, seconds=300.0 + n), way(pods=1, seconds=500.0 + n), way("b", per_pod=4)) for n in range(8)]
    for limit in (1, 10, 40, 200):
        sizing = size_pools(jobs, {"a": 2, "b": 1}, limit=limit)
        assert not sizing.plan.exact
        for size in sizing.pools.values():
            assert size.more == NodeMore() or size.more.placed or size.more.seconds > 0 or size.more.cost > 0


@st.composite
def job_sets(draw):
    count = draw(st.integers(0, 4))
    plans = st.builds(
        way, pool=st.sampled_from(["a", "b"]), pods=st.integers(1, 3), per_pod=st.sampled_from([2, 4]),
        tokens=st.sampled_from([100.0, 1000.0]), seconds=st.sampled_from([100.0, 500.0]),
    )  # fmt: skip
    deadlines = st.none() | st.sampled_from([200.0, 700.0])
    return [job(f"j{n}", *draw(st.lists(plans, max_size=3)), deadline=draw(deadlines)) for n in range(count)]


@settings(max_examples=40)
@given(job_sets())
def test_no_pool_is_asked_for_more_than_it_may_have(jobs):
    nodes = {"a": 3, "b": 2}
    sizing = size_pools(jobs, nodes)

    assert sizing == size_pools(list(reversed(jobs)), nodes), "the order of the jobs does not matter"
    for pool, size in sizing.pools.items():
        assert 0 <= size.now <= size.peak <= nodes[pool] == size.limit
        assert size.node_seconds <= size.peak * size.seconds + 1e-6
    placed = {name for size in sizing.pools.values() for name in size.jobs}
    assert placed | set(sizing.plan.unplaced) == {each.job.name for each in jobs}
    assert placed & set(sizing.plan.unplaced) == set()
