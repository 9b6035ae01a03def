"""The loss law: its published values, its cap, its discount for repetition."""

from math import inf, log, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.catalog import preset, presets
from farthing.contract.shape import shape_from_config
from farthing.errors import InvalidSpec
from farthing.planner.loss import (
    LAW_SIGMA,
    TokenWorth,
    effective_tokens,
    law_fit_sigma,
    law_loss,
    law_sigma,
    loss_value,
    predict_loss,
    predict_outcome,
)

SHAPES = {name: shape_from_config(preset(name)) for name in presets()}
tokens = st.floats(1e3, 1e13)


@pytest.mark.parametrize(("epochs", "worth"), [(2, 0.98), (4, 0.93), (8, 0.83), (16, 0.66), (32, 0.45), (64, 0.25)])
def test_repeated_tokens_are_worth_what_the_paper_says(epochs, worth):
    assert effective_tokens(epochs * 1e6, 1e6) / (epochs * 1e6) == pytest.approx(worth, abs=0.02)


@given(st.sampled_from(presets()), tokens, st.floats(1, 100), st.none() | tokens)
def test_more_tokens_never_raise_the_loss(name, before, factor, unique):
    assert loss_value(SHAPES[name], before * factor, unique) <= loss_value(SHAPES[name], before, unique)


@given(st.sampled_from(presets()), st.floats(0, 1e13))
def test_loss_is_never_worse_than_guessing(name, trained):
    assert 0 < loss_value(SHAPES[name], trained) <= log(SHAPES[name].vocabulary)


def test_the_law_at_llama_8b():
    assert loss_value(SHAPES["llama-3.1-8b"], 1.6e11) == pytest.approx(2.160, abs=0.005)  # by hand: 1.817 + 0.173 + 0.170


@pytest.mark.parametrize(
    ("trained", "measured"), [(102_400, 5.616), (204_800, 5.113), (409_600, 4.675), (819_200, 4.212), (1_433_600, 3.780)]
)
def test_small_models_agree_with_the_pilots(trained, measured):
    assert loss_value(SHAPES["llama-1m"], trained) == pytest.approx(measured, rel=0.04)


def test_uncertainty_is_wide_where_the_evidence_is_thin():
    assert predict_loss(SHAPES["llama-1m"], 1e6).sigma > predict_loss(SHAPES["llama-3.1-8b"], 1e11).sigma


def test_repetition_is_named():
    assert "4.0 epochs" in predict_loss(SHAPES["llama-1m"], 4e6, 1e6).source


worths = st.builds(
    TokenWorth,
    unique_tokens=st.none() | st.floats(1e3, 1e13),
    selection_factor=st.floats(0.1, 10.0),
    batch_tokens=st.none() | st.floats(1e3, 1e8),
    critical_batch_tokens=st.none() | st.floats(1e3, 1e8),
)


@given(st.sampled_from(presets()), tokens, st.floats(1, 100), worths)
def test_whatever_tokens_are_worth_more_of_them_never_raise_the_loss(name, before, factor, worth):
    more = loss_value(SHAPES[name], before * factor, worth=worth)
    assert more <= loss_value(SHAPES[name], before, worth=worth) * (1 + 1e-12)


@given(st.sampled_from(presets()), tokens, st.floats(1, 10), st.floats(1, 10))
def test_better_selection_never_raises_and_larger_batches_never_lower_the_loss(name, trained, selection, growth):
    plain = loss_value(SHAPES[name], trained)
    assert loss_value(SHAPES[name], trained, worth=TokenWorth(selection_factor=selection)) <= plain
    small = loss_value(SHAPES[name], trained, worth=TokenWorth(batch_tokens=1e5, critical_batch_tokens=1e6))
    large = loss_value(SHAPES[name], trained, worth=TokenWorth(batch_tokens=1e5 * growth, critical_batch_tokens=1e6))
    assert plain <= small <= large


def test_tokens_are_worth_the_product_of_the_rules():
    worth = TokenWorth(unique_tokens=1e9, selection_factor=1.5, batch_tokens=1e6, critical_batch_tokens=4e6)
    assert worth.batch_overhead == 1.25
    assert worth.tokens(4e9) == pytest.approx(1.5 * effective_tokens(4e9, 1e9) / 1.25)
    assert worth.notes(4e9) == (
        "4.0 epochs discounted by arXiv:2305.16264",
        "selected data counted 1.50-fold",
        "batch overhead 1.25 (1 + B/B_crit)",
    )


def test_an_unknown_critical_batch_costs_nothing():
    assert TokenWorth(batch_tokens=1e9).batch_overhead == 1.0


@pytest.mark.parametrize("name", ["unique_tokens", "selection_factor", "batch_tokens", "critical_batch_tokens"])
@pytest.mark.parametrize("value", [0.0, -1.0, nan, inf])
def test_worth_takes_only_finite_numbers_above_0(name, value):
    with pytest.raises(InvalidSpec, match=name):
        TokenWorth(**{name: value})


def test_selection_and_unique_tokens_are_the_old_argument():
    shape = SHAPES["llama-3.1-8b"]
    assert loss_value(shape, 4e9, 1e9) == loss_value(shape, 4e9, worth=TokenWorth(unique_tokens=1e9))


def test_the_fit_is_surest_where_its_runs_lie():
    inside = law_fit_sigma(1e9, 5e10)
    assert inside == pytest.approx(0.066, abs=0.01)  # 2.7 % of 2.42 nats
    assert law_fit_sigma(1e7, 1e8) > 5 * inside
    assert law_sigma(1e9, 5e10) > LAW_SIGMA


@given(st.floats(1e7, 1e12), st.floats(1e6, 1e14))
def test_the_spread_of_the_fit_is_never_below_that_of_its_floor(parameters, trained):
    assert 0.03 <= law_fit_sigma(parameters, trained) < law_loss(parameters, trained)


def test_fine_tuning_is_told_in_tokens_and_says_why():
    outcome = predict_outcome(SHAPES["llama-3.1-8b"], 4e6, pretrained=True, worth=TokenWorth(unique_tokens=1e6))
    assert (outcome.unit, outcome.sigma) == ("tokens", 0.0)
    assert outcome.value == effective_tokens(4e6, 1e6)
    assert "no scaling law holds for fine-tuning" in outcome.source
    assert "4.0 epochs" in outcome.source


def test_pretraining_is_told_in_loss():
    shape = SHAPES["llama-3.1-8b"]
    assert predict_outcome(shape, 1e11, pretrained=False) == predict_loss(shape, 1e11)
