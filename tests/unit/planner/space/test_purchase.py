"""What a budget buys: the course of a run is `planner.spot`'s, limits are never exceeded, and more buys no less."""

from decimal import Decimal
from math import inf

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.unit.planner.builders import offer_of
from tests.unit.planner.space.questions import H100, question_of

from farthing.api.amounts import Axis
from farthing.domain.planning import RuntimeProfile
from farthing.errors import InvalidSpec
from farthing.planner.energy import PowerDraw, predict_energy
from farthing.planner.space.purchase import course, one_step, purchase
from farthing.planner.space.sites import sites
from farthing.planner.spot import Capacity, Recovery, outlook

FEW = settings(max_examples=60, deadline=None)
means = st.sampled_from([3600.0, 86400.0, 1e7, inf])
startups = st.floats(0.0, 900.0)
STEP_FLOPS = 1e15


def run_of(*, mean=86400.0, startup=60.0, nodes=2.0, trainable=1e9, price="2", reserve=40.0, **changes):
    offer = offer_of(
        "pool", H100, mean_time_between_failures=mean, startup_seconds=startup,
        price_per_accelerator_hour=None if price is None else Decimal(price),
    )  # fmt: skip
    question = question_of(pools=(offer,), profile=RuntimeProfile(reserve_seconds=reserve), **changes)
    (site,), _ = sites(question)
    return question, course(question, site, np.array([nodes]), np.array([nodes * 8]), np.array([trainable]))


def expected(run, useful, nodes, mean):
    recovery = Recovery(float(run.checkpoint[0]), float(run.startup[0]))
    return outlook(useful, nodes, Capacity("pool", 1.0, crash_mean=mean), recovery)


@FEW
@given(means, startups, st.integers(1, 8), st.floats(0, 1e10), st.floats(1.0, 1e7))
def test_paid_time_is_that_of_the_outlook(mean, startup, nodes, trainable, useful):
    _, run = run_of(mean=mean, startup=startup, nodes=float(nodes), trainable=trainable)
    found = expected(run, useful, nodes, mean)
    paid = float(run.paid(np.array([useful]))[0])
    assert paid + startup == pytest.approx(found.paid_seconds, rel=1e-9)
    assert paid / float(run.mean[0]) == pytest.approx(found.interruptions, rel=1e-9)
    assert paid * float(run.restarts[0]) == pytest.approx(found.restart_seconds - startup, rel=1e-6, abs=1e-6)


@FEW
@given(means, startups, st.integers(1, 8), st.floats(0, 1e10), st.floats(1.0, 1e7))
def test_useful_time_is_the_inverse_of_paid_time(mean, startup, nodes, trainable, useful):
    _, run = run_of(mean=mean, startup=startup, nodes=float(nodes), trainable=trainable)
    assert run.useful(run.paid(np.array([useful])))[0] == pytest.approx(useful, rel=1e-6, abs=1e-3)


def test_nothing_is_paid_for_nothing():
    _, run = run_of()
    assert run.paid(np.zeros(1))[0] == 0.0
    assert run.useful(np.zeros(1))[0] <= 0.0


def test_a_gang_that_never_saves_buys_nothing():
    question, run = run_of(mean=0.1, startup=600.0)
    assert run.hopeless[0]
    assert purchase(question, run, np.array([1.0]), np.array([STEP_FLOPS])).steps[0] == 0
    assert run.paid(np.ones(1))[0] == inf


def bought(question, run, step=3.0):
    return purchase(question, run, np.array([step]), np.array([STEP_FLOPS]))


AMOUNTS = {
    Axis.COST: st.integers(1, 10**5), Axis.ACCELERATOR_HOURS: st.integers(1, 10**5), Axis.ENERGY: st.integers(1, 10**5),
    Axis.FLOPS: st.integers(10**15, 10**20), Axis.TOKENS: st.integers(10**4, 10**12),
}  # fmt: skip
budgets = st.dictionaries(st.sampled_from(list(AMOUNTS)), st.integers(1, 10**5), min_size=1)
SCALE = {Axis.FLOPS: 10**15, Axis.TOKENS: 10**6}


def remaining(budget):
    return {axis: Decimal(amount * SCALE.get(axis, 1)) for axis, amount in budget.items()}


@FEW
@given(budgets, means, st.none() | st.floats(1, 1e7), st.floats(0.1, 1e3))
def test_no_limit_is_exceeded(budget, mean, seconds_left, step):
    question, run = run_of(mean=mean, remaining=remaining(budget), seconds_left=seconds_left)
    found = bought(question, run, step)
    assume(found.steps[0] > 0)
    used = {
        Axis.COST: found.cost[0], Axis.ACCELERATOR_HOURS: found.accelerator_hours[0], Axis.ENERGY: found.energy[0],
        Axis.FLOPS: found.steps[0] * STEP_FLOPS, Axis.TOKENS: found.steps[0] * 16 * 2048,
    }  # fmt: skip
    for axis, limit in question.remaining.items():
        assert used[axis] <= float(limit) * (1 + 1e-9)
    assert found.seconds[0] <= (inf if seconds_left is None else seconds_left * (1 + 1e-9))
    assert found.axes[found.binding[0]] in {axis.value for axis in budget} | {"deadline"}


@FEW
@given(budgets, st.sampled_from(list(AMOUNTS)), st.floats(1.0, 100.0), means)
def test_more_of_a_budget_never_buys_less(budget, axis, factor, mean):
    question, run = run_of(mean=mean, remaining=remaining(budget))
    raised = remaining(budget) | ({axis: remaining(budget)[axis] * Decimal(factor)} if axis in budget else {})
    more, _ = run_of(mean=mean, remaining=raised)
    assert bought(more, run).steps[0] >= bought(question, run).steps[0]


@FEW
@given(budgets, means, st.none() | st.floats(1, 1e4))
def test_what_buys_no_step_is_short_of_one(budget, mean, seconds_left):
    question, run = run_of(mean=mean, remaining=remaining(budget), seconds_left=seconds_left)
    step = np.array([1e6])
    found = purchase(question, run, step, np.array([1e24]))
    assume(found.steps[0] == 0)
    short = one_step(question, run, step, np.array([1e24]))[found.axes[found.binding[0]]]
    assert short.needs[0] > short.has


def test_the_last_step_is_whole_and_the_reserve_is_bought_but_not_used():
    question, run = run_of(
        mean=inf, remaining={Axis.ACCELERATOR_HOURS: Decimal(16)}, startup=100.0, trainable=0.0, reserve=43.0
    )
    found = bought(question, run, step=100.0)
    # an hour of 16 devices: 3600 = 100 start + 34 steps of 100 + 3 save + 40 reserve beyond it, and 57 to spare
    assert found.steps[0] == 34
    assert found.seconds[0] == pytest.approx(100 + 3400 + 3)
    assert found.cost[0] == pytest.approx(found.accelerator_hours[0] * 2)


def test_energy_is_that_of_the_energy_module():
    question, run = run_of(mean=inf, remaining={Axis.ENERGY: Decimal(50)}, startup=100.0)
    found = bought(question, run)
    busy = found.seconds[0] - 100.0
    assert found.energy[0] == pytest.approx(predict_energy(PowerDraw(H100, 700.0), 16, busy, 100.0).value)


def test_a_free_pool_is_bound_by_another_limit_or_refused():
    question, run = run_of(price="0", remaining={Axis.COST: Decimal(5), Axis.TOKENS: Decimal("1e9")})
    assert bought(question, run).axes[bought(question, run).binding[0]] == Axis.TOKENS
    question, run = run_of(price="0", remaining={Axis.COST: Decimal(5)})
    with pytest.raises(InvalidSpec, match="costs nothing"):
        bought(question, run)


def test_without_any_limit_there_is_no_end():
    question, run = run_of(remaining={})
    with pytest.raises(InvalidSpec, match="deadline"):
        bought(question, run)


def test_a_pool_without_price_has_no_cost():
    question, run = run_of(price=None)
    assert np.isnan(bought(question, run).cost[0])


def test_a_mean_of_nothing_is_refused():
    with pytest.raises(InvalidSpec, match="meanTimeBetweenFailures"):
        run_of(mean=0.0)
