"""What rate a pool is taken to have."""

import pytest
from tests.unit.planner.builders import ask_of, offer_of

from farthing.catalog import accelerators
from farthing.planner.candidates import precisions
from farthing.planner.offers import measured_precision, peak_rate


@pytest.mark.parametrize(
    ("row", "measured", "precision"),
    [
        ("A100-80GB-SXM", None, None),
        ("A100-80GB-SXM", 1.5e13, "float32"),
        ("A100-80GB-SXM", 2.5e14, "bfloat16"),
        ("A100-80GB-SXM", 4.0e14, None),
        ("T4", 2.4e13, None),
        ("RTX-PRO-6000-Blackwell", 1.0e14, "float32"),
    ],
)
def test_a_measured_rate_is_of_the_precision_that_can_reach_it(row, measured, precision):
    assert measured_precision(offer_of("p", row, measured_flops_per_second=measured)) == precision


def test_the_peak_of_a_gpu_is_the_datasheets_or_what_was_measured_where_it_has_none():
    measured = offer_of("p", "A100-80GB-SXM", measured_flops_per_second=2.5e14)
    assert (peak_rate(measured, "bfloat16"), peak_rate(measured, "float32")) == (3.12e14, 1.95e13)
    unpublished = offer_of("p", "RTX-PRO-6000-Blackwell", measured_flops_per_second=1.0e14)
    assert peak_rate(unpublished, "float32") == 1.0e14


@pytest.mark.parametrize("row", [row.name for row in accelerators()])
@pytest.mark.parametrize("rate", [1e10, 1e13, 1e14, 1e15, 1e16])
def test_whatever_was_measured_every_precision_that_is_offered_has_a_rate(row, rate):
    offer = offer_of("p", row, measured_flops_per_second=rate)
    offered = precisions(ask_of(), offer)
    assert offered
    assert all(peak_rate(offer, precision) > 0 for precision in offered)


def test_a_slots_peak_is_the_measured_rate():
    assert peak_rate(offer_of(), "float32") == 4.0e10


def test_an_unknown_peak_is_an_error_not_a_guess():
    with pytest.raises(ValueError, match="pool p: no bfloat16 rate is known for T4"):
        peak_rate(offer_of("p", "T4"), "bfloat16")
