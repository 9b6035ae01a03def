"""Node-pool sizing: exact against brute force, deterministic, within every limit, and with true marginal gains."""

from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.errors import InvalidSpec, MissingPrice
from farthing.planner.sizing import next_nodes, size, size_one
from farthing.planner.sizing_plan import Placement, SizingJob, SizingOption

NODES = {"a": 4, "b": 2}


def option(pool="a", nodes=1, seconds=100.0, startup=10.0, cost=1.0, value=1.0):
    return SizingOption(pool, nodes, seconds, startup, cost, value)


options = st.builds(
    SizingOption,
    pool=st.sampled_from(["a", "b"]),
    nodes=st.integers(1, 5),
    seconds=st.sampled_from([10.0, 50.0, 100.0]),
    startup_seconds=st.sampled_from([0.0, 5.0]),
    cost=st.sampled_from([0.0, 1.0, 2.0, 5.0]),
    value=st.sampled_from([0.0, 1.0, 2.0, 3.0]),
)


@st.composite
def job_sets(draw):
    count = draw(st.integers(1, 3))
    return tuple(
        SizingJob(
            f"job-{i}",
            tuple(draw(st.lists(options, max_size=3))),
            draw(st.none() | st.sampled_from([1.0, 4.0])),
            draw(st.none() | st.sampled_from([60.0, 120.0])),
        )
        for i in range(count)
    )


def brute_force(jobs, nodes, budget):
    """Best total value over every choice, order and start on a grid of 5 s."""
    best = 0.0
    for choice in product(*[(None, *job.options) for job in jobs]):
        picked = [(job, o) for job, o in zip(jobs, choice, strict=True) if o is not None]
        value = sum(o.value for _, o in picked)
        if value <= best or not affordable(picked, budget):
            continue
        if any(schedulable(order, nodes) for order in permutations(picked)):
            best = value
    return best


def affordable(picked, budget):
    within = all(job.budget is None or o.cost <= job.budget for job, o in picked)
    return within and (budget is None or sum(o.cost for _, o in picked) <= budget)


def schedulable(order, nodes):
    held = []
    for job, o in order:
        for start in range(0, 400, 5):
            end = start + o.held_seconds
            if all(use(held, o.pool, t) + o.nodes <= nodes[o.pool] for t in range(start, int(end), 5)):
                break
        else:
            return False
        if job.deadline_seconds is not None and end > job.deadline_seconds:
            return False
        held.append((o.pool, o.nodes, start, end))
    return True


def use(held, pool, moment):
    return sum(n for p, n, start, end in held if p == pool and start <= moment < end)


@settings(max_examples=60, deadline=None)
@given(job_sets(), st.none() | st.sampled_from([2.0, 6.0]))
def test_small_sets_are_solved_exactly(jobs, budget):
    plan = size(jobs, NODES, budget=budget, marginals=False)
    assert plan.exact
    assert plan.value == brute_force(jobs, NODES, budget)


@settings(max_examples=60, deadline=None)
@given(job_sets(), st.none() | st.sampled_from([2.0, 6.0]))
def test_no_limit_is_ever_exceeded(jobs, budget):
    plan = size(jobs, NODES, budget=budget, marginals=False)
    by_name = {job.name: job for job in jobs}
    assert {p.job for p in plan.placements} | set(plan.unplaced) == set(by_name)
    assert all(plan.peak_nodes(pool) <= NODES[pool] for pool in NODES)
    assert budget is None or plan.cost <= budget
    for placement in plan.placements:
        job = by_name[placement.job]
        assert placement.option in job.options
        assert job.deadline_seconds is None or placement.end_seconds <= job.deadline_seconds
        assert job.budget is None or placement.option.cost <= job.budget


@settings(max_examples=30, deadline=None)
@given(job_sets())
def test_one_node_more_is_never_worth_less_than_nothing(jobs):
    plan = size(jobs, NODES)
    assert plan == size(jobs, NODES)
    assert set(plan.marginal) == set(NODES)
    assert all(gain.value >= 0 for gain in plan.marginal.values())
    assert all(gain.seconds >= 0 for gain in plan.marginal.values() if gain.value == 0)


def test_one_job_takes_what_its_deadline_asks_for():
    job = SizingJob("j", (option(nodes=1, seconds=400), option(nodes=4, seconds=110, cost=1.2)), deadline_seconds=150)
    (placement,) = size_one(job, NODES).placements
    assert (placement.option.nodes, placement.start_seconds, placement.end_seconds) == (4, 0.0, 120.0)


def test_jobs_that_compete_run_one_after_another():
    jobs = [SizingJob("long", (option(nodes=4, seconds=200),)), SizingJob("short", (option(nodes=4, seconds=50),))]
    plan = size(jobs, NODES)
    assert [(p.job, p.start_seconds) for p in plan.placements] == [("short", 0.0), ("long", 60.0)]
    assert plan.peak_nodes("a") == 4
    assert plan.node_seconds == {"a": 4 * 270.0}


def test_a_node_more_is_worth_what_it_lets_in():
    jobs = [SizingJob(f"j{i}", (option(nodes=2, value=i + 1.0),), deadline_seconds=120) for i in range(3)]
    plan = size(jobs, {"a": 5})
    assert plan.value == 5.0
    assert plan.marginal["a"].value == 1.0
    assert "other jobs" in plan.unplaced["j0"]


def test_the_common_budget_goes_where_it_buys_most():
    jobs = [
        SizingJob("x", (option(nodes=1, cost=4, value=3), option(nodes=2, cost=9, value=4))),
        SizingJob("y", (option(nodes=1, cost=4, value=2.5),)),
    ]
    plan = size(jobs, NODES, budget=9)
    assert plan.value == 5.5
    assert plan.cost == 8


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (SizingJob("j", (option(nodes=9),)), "nodes (needs 9 of 4)"),
        (SizingJob("j", (option(),), deadline_seconds=50), "deadline (needs 110 s of 50)"),
        (SizingJob("j", (option(cost=3),), budget=2), "budget (needs 3 of 2)"),
        (SizingJob("j", ()), "no option"),
        (SizingJob("j", (option(pool="z"),)), "nodes (needs 1 of 0)"),
    ],
)
def test_what_kept_a_job_out_is_told(job, words):
    assert words in size_one(job, NODES).unplaced["j"]


def test_the_reason_is_told_of_the_option_on_the_fewest_nodes():
    job = SizingJob("j", (option(nodes=9, cost=1), option(nodes=1, cost=30)), budget=20)
    assert "budget (needs 30 of 20)" in size_one(job, NODES).unplaced["j"]


def test_parts_of_a_node_add_up():
    jobs = [SizingJob(f"j{i}", (option(nodes=1 / 3),)) for i in range(7)]
    plan = size(jobs, {"a": 2})
    assert plan.exact
    assert plan.peak_nodes("a") == 2
    assert sorted(p.start_seconds for p in plan.placements) == [0.0] * 6 + [110.0]
    assert plan.marginal["a"].seconds == 110.0


def test_what_runs_already_keeps_its_nodes_until_it_ends():
    running = (Placement("r", option(nodes=4, seconds=200), 0.0),)
    plan = size([SizingJob("j", (option(nodes=1),))], NODES, holding=running)
    assert [(p.job, p.start_seconds) for p in plan.placements] == [("j", 210.0)]
    assert plan.cost == 1.0


def test_a_gap_between_two_that_run_is_used_only_where_it_is_long_enough():
    def later(start):
        return Placement("later", option(nodes=4, seconds=100), start)

    job = SizingJob("j", (option(nodes=4, seconds=90, startup=10),))
    first = Placement("first", option(nodes=4, seconds=50, startup=0), 0.0)
    starts = [size([job], NODES, holding=(first, later(at))).placements[0].start_seconds for at in (150.0, 149.0)]
    assert starts == [50.0, 259.0]


def test_a_missing_price_names_the_pool():
    with pytest.raises(MissingPrice, match="pool a has none"):
        size_one(SizingJob("j", (option(cost=None),), budget=5), NODES)
    assert size_one(SizingJob("j", (option(cost=None),)), NODES).placements


@pytest.mark.parametrize("bad", [option(seconds=float("nan")), option(nodes=0), option(value=-1), option(cost=float("inf"))])
def test_bad_numbers_are_refused(bad):
    with pytest.raises(InvalidSpec):
        size_one(SizingJob("j", (bad,)), NODES)


def test_two_jobs_of_one_name_are_refused():
    with pytest.raises(InvalidSpec):
        size([SizingJob("j", ()), SizingJob("j", ())], NODES)


def test_many_jobs_that_do_not_compete_are_placed_at_once():
    jobs = [SizingJob(f"j{i:02}", (option(nodes=1), option(nodes=2, seconds=60))) for i in range(40)]
    plan = size(jobs, {"a": 80}, marginals=False)
    assert plan.exact
    assert plan.ends == 40 * 70.0


def test_beyond_the_limit_the_best_found_stands():
    jobs = [
        SizingJob(f"j{i}", tuple(option(nodes=n, seconds=300 / n + i, value=1 + i / 10) for n in (1, 2, 4))) for i in range(9)
    ]
    plan = size(jobs, NODES, limit=500, marginals=False)
    assert not plan.exact
    assert len(plan.placements) == 9


def test_the_marginal_node_of_one_job():
    job = SizingJob("j", (option(nodes=1, seconds=390, cost=1), option(nodes=3, seconds=190, cost=2, value=1.5)))
    ((few, more, gain),) = next_nodes(job, "a")
    assert (few, more, gain.value, gain.seconds, gain.cost) == (1, 3, 0.25, 100.0, -0.5)
