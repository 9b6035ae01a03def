"""Predictions as people and programs read them: the median, and how far an 80 % interval reaches."""

from typing import Any

from farthing.cli.tables import NONE
from farthing.domain.plan import Prediction
from farthing.units import format_count, format_duration

INTERVAL = 0.9
"""± reaches from the median to this quantile: an 80 % interval, as in a job's status."""


def spread(number: Prediction | None) -> str:
    """`7.1k ±35%`; a dash where nothing is predicted."""
    if number is None:
        return NONE
    value = format_duration(number.value) if number.unit == "s" else format_count(number.value)
    return f"{value} ±{number.quantile(INTERVAL) / number.value - 1:.0%}" if number.value else value


def prediction_data(number: Prediction) -> dict[str, Any]:
    """Median, both ends of the 80 % interval, unit and source."""
    low, high = number.quantile(1 - INTERVAL), number.quantile(INTERVAL)
    return {"value": number.value, "low": low, "high": high, "unit": number.unit, "source": number.source}
