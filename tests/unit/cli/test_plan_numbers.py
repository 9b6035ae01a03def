"""Predictions in words and as data."""

import pytest

from farthing.cli.plan_numbers import prediction_data, spread
from farthing.domain.plan import Prediction


@pytest.mark.parametrize(
    ("number", "want"),
    [
        (None, "–"),
        (Prediction(7100, 0.0, "tokens/s", "x"), "7.1k ±0%"),
        (Prediction(90, 0.0, "s", "x"), "1m30s ±0%"),
        (Prediction(0, 0.5, "USD", "x"), "0"),
        (Prediction(100, 0.1, "USD", "x"), "100 ±14%"),
    ],
)
def test_a_number_with_its_spread(number, want):
    assert spread(number) == want


def test_a_prediction_as_data_has_both_ends_of_its_interval():
    data = prediction_data(Prediction(100.0, 0.1, "USD", "a source"))

    assert data["low"] < data["value"] == 100.0 < data["high"]
    assert data["low"] * data["high"] == pytest.approx(data["value"] ** 2)
    assert (data["unit"], data["source"]) == ("USD", "a source")
