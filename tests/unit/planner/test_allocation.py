"""Compute-optimal allocation: the published table, the closed form, and that more is never worse."""

from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.errors import InvalidSpec, MissingPrice
from farthing.planner.allocation import ComputeRate, Terms, allocate, allocate_money, chinchilla_optimum, flops_for_loss
from farthing.planner.loss import TokenWorth, law_loss

budgets = st.floats(1e16, 1e26)
all_terms = st.builds(
    Terms,
    worth=st.builds(TokenWorth, st.none() | st.floats(1e8, 1e12), st.floats(0.5, 2.0)),
    flops_per_parameter_token=st.sampled_from([4.0, 6.0, 8.0]),
    served_tokens=st.sampled_from([0.0, 1e9, 1e12]),
)


@pytest.mark.parametrize(
    ("flops", "parameters", "tokens"),
    [(1e17, 25e6, 0.67e9), (1e18, 81e6, 2.1e9), (1e19, 262e6, 6.4e9), (1e20, 0.85e9, 19.5e9), (1e21, 2.8e9, 60e9)],
)
def test_the_table_of_rule_c19(flops, parameters, tokens):
    best = allocate(flops)
    assert best.parameters == pytest.approx(parameters, rel=0.02)
    assert best.tokens == pytest.approx(tokens, rel=0.02)
    assert best.tokens_per_parameter == pytest.approx(24, abs=4)


@given(budgets)
def test_the_search_finds_the_closed_form(flops):
    parameters, tokens = chinchilla_optimum(flops)
    best = allocate(flops)
    assert best.parameters == pytest.approx(parameters, rel=1e-4)
    assert best.loss.value == pytest.approx(law_loss(parameters, tokens), rel=1e-9)


@settings(max_examples=50)
@given(budgets, all_terms, st.floats(0.05, 20.0))
def test_no_other_size_is_better(flops, terms, factor):
    best = allocate(flops, terms=terms)
    try:
        other = allocate(flops, parameters=best.parameters * factor, terms=terms)
    except InvalidSpec:
        return  # serving alone eats the budget
    assert best.loss.value <= other.loss.value * (1 + 1e-9)


@settings(max_examples=50)
@given(budgets, all_terms, st.floats(1.0, 100.0))
def test_a_larger_budget_never_ends_worse(flops, terms, factor):
    assert allocate(flops * factor, terms=terms).loss.value <= allocate(flops, terms=terms).loss.value * (1 + 1e-9)


@given(st.floats(1e7, 1e12), st.floats(1e6, 1e13), st.floats(1.0, 100.0))
def test_more_tokens_never_cost_less(parameters, tokens, factor):
    few = allocate(6.0 * parameters * tokens, parameters=parameters)
    many = allocate(6.0 * parameters * tokens * factor, parameters=parameters)
    assert few.tokens == pytest.approx(tokens)
    assert many.tokens >= few.tokens * (1 - 1e-12)
    assert many.flops >= few.flops
    assert many.loss.value <= few.loss.value


@settings(max_examples=50)
@given(budgets, all_terms)
def test_what_is_spent_is_the_budget(flops, terms):
    best = allocate(flops, terms=terms)
    assert best.flops + best.serving_flops == pytest.approx(flops)


def test_repetition_and_serving_move_the_optimum():
    free = allocate(1e20)
    repeated = allocate(1e20, terms=Terms(TokenWorth(unique_tokens=1e9)))
    served = allocate(1e20, terms=Terms(served_tokens=1e11))
    assert repeated.parameters > free.parameters  # repeated tokens are worth less: a larger model
    assert "epochs" in repeated.loss.source
    assert served.parameters < free.parameters
    assert served.tokens_per_parameter > free.tokens_per_parameter


def test_the_best_of_given_sizes():
    assert allocate(1e20, sizes=[1e8, 7e8, 7e9]).parameters == 7e8


def test_below_the_law_it_says_so():
    assert "below the law" in allocate(1e14).notes[0]
    assert allocate(1e20).notes == ()


def test_money_is_flops_at_a_price():
    rate = ComputeRate("pool h100", flops_per_second=4e14, price_per_accelerator_hour=2.0)
    assert allocate_money(100.0, rate) == allocate(50 * 3600 * 4e14)


def test_a_missing_price_names_the_row():
    with pytest.raises(MissingPrice, match="add perAcceleratorHour, currency and source to pool h100"):
        allocate_money(100.0, ComputeRate("pool h100", 4e14, None))


@given(st.floats(1e8, 1e11), st.floats(1e9, 1e12))
def test_flops_for_a_loss_are_the_inverse(parameters, tokens):
    target = law_loss(parameters, tokens)
    assert flops_for_loss(target, parameters) == pytest.approx(6.0 * parameters * tokens, rel=1e-5)


def test_a_loss_below_the_floor_is_never_reached():
    assert flops_for_loss(1.8, 1e9) is None


@pytest.mark.parametrize("flops", [0.0, -1.0, nan, inf])
def test_a_bad_budget_is_refused(flops):
    with pytest.raises(InvalidSpec):
        allocate(flops)


def test_serving_that_eats_the_budget_is_refused():
    with pytest.raises(InvalidSpec, match="serving"):
        allocate(1e18, parameters=1e10, terms=Terms(served_tokens=1e9))
