"""Energy: by hand, monotone, and named where the power is missing."""

from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.errors import InvalidSpec
from farthing.planner.energy import PowerDraw, carbon_kilograms, predict_energy


def test_by_hand():
    full = predict_energy(PowerDraw("H100", 700.0, load=1.0), accelerators=8, busy_seconds=3600.0)
    assert (full.value, full.unit) == (pytest.approx(5.6), "kWh")
    half = PowerDraw("H100", 700.0, load=0.5, host_watts=100.0, facility_factor=1.2)
    assert half.watts() == pytest.approx((700 * 0.55 + 100) * 1.2)
    assert predict_energy(half, 1, 0.0, 3600.0).value == pytest.approx((70 + 100) * 1.2 / 1000)


def test_an_assumed_load_is_less_certain_and_said():
    assumed = predict_energy(PowerDraw("H100", 700.0), 1, 3600.0)
    measured = predict_energy(PowerDraw("H100", 700.0, load=0.75), 1, 3600.0)
    assert assumed.value == measured.value
    assert assumed.sigma > measured.sigma
    assert "assumed" in assumed.source
    assert "measured" in measured.source


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(1, 64), st.floats(0.0, 1e6), st.floats(1.0, 10.0))
def test_more_load_time_or_accelerators_never_take_less(one, other, accelerators, seconds, factor):
    low, high = sorted((one, other))
    base = predict_energy(PowerDraw("x", 400.0, low), accelerators, seconds).value
    assert predict_energy(PowerDraw("x", 400.0, high), accelerators, seconds).value >= base
    assert predict_energy(PowerDraw("x", 400.0, low), accelerators + 1, seconds * factor).value >= base


def test_a_missing_design_power_names_the_row():
    with pytest.raises(InvalidSpec, match="the row of H300") as fault:
        predict_energy(PowerDraw("H300", None), 1, 1.0)
    assert fault.value.reason == "MissingPower"


@pytest.mark.parametrize(
    "bad", [PowerDraw("x", -1.0), PowerDraw("x", nan), PowerDraw("x", 1.0, 1.5), PowerDraw("x", 1.0, facility_factor=0.9)]
)
def test_bad_numbers_are_refused(bad):
    with pytest.raises(InvalidSpec):
        predict_energy(bad, 1, 1.0)


def test_carbon_is_energy_times_intensity():
    assert carbon_kilograms(10.0, 400.0) == 4.0
