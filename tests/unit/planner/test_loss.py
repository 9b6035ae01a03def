"""The loss law: its published values, its cap, its discount for repetition."""

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.catalog import preset, presets
from farthing.contract.shape import shape_from_config
from farthing.planner.loss import effective_tokens, loss_value, predict_loss

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
