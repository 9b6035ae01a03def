"""Energy of a run: power × load × time. Thermal design powers come from the caller's catalogue row."""

from dataclasses import dataclass
from math import hypot, isfinite

from farthing.domain.plan import Prediction
from farthing.errors import InvalidSpec
from farthing.units import SECONDS_PER_HOUR

IDLE_SHARE = 0.10
"""Of its design power that an accelerator draws without work: some 70 W of an H100's 700 W (general knowledge, unverified)."""
TRAINING_LOAD = 0.75
"""Of the way from idle to design power during training, where nobody measured it (assumed)."""
LOAD_SIGMA = 0.20
"""Relative spread of the power at the assumed load: 0.55 to 1 of the way (assumed). The design power bounds it from above."""
MEASURED_SIGMA = 0.05
"""Where the load was measured: what a power sensor is off by (assumed; sparse sampling can miss far more, arXiv:2312.02741)."""


@dataclass(frozen=True, slots=True)
class PowerDraw:
    """What draws power while a gang is held."""

    row: str
    """Accelerator or pool that the design power is of: named when it is missing."""
    design_watts: float | None
    """Thermal design power of one accelerator."""
    load: float | None = None
    """Share of the way from idle to design power, 0 to 1, as measured; None: TRAINING_LOAD."""
    host_watts: float = 0.0
    """Of the node's other parts, per accelerator."""
    facility_factor: float = 1.0
    """Power usage effectiveness: the site's power ÷ the machines'; at least 1."""

    def watts(self, load: float | None = None) -> float:
        """Drawn per accelerator at `load` (else the draw's own), host and facility included. Raises InvalidSpec."""
        if self.design_watts is None:
            remedy = f"energy needs the design power: add it, in watts and with its source, to the row of {self.row}"
            raise InvalidSpec("design_watts", None, remedy, reason="MissingPower")
        share = _number("load", _first(load, self.load, TRAINING_LOAD), 0.0, 1.0)
        design = _number("design_watts", self.design_watts, 0.0)
        chip = design * (IDLE_SHARE + (1.0 - IDLE_SHARE) * share)
        return (chip + _number("host_watts", self.host_watts, 0.0)) * _number("facility_factor", self.facility_factor, 1.0)


def predict_energy(draw: PowerDraw, accelerators: int, busy_seconds: float, idle_seconds: float = 0.0) -> Prediction:
    """Kilowatt-hours of a gang that trains for `busy_seconds` and is held without work for `idle_seconds` (starts, waits).

    Raises InvalidSpec where a number is out of range, with reason MissingPower where the row has no design power.
    """
    _number("accelerators", accelerators, 1)
    busy, idle = _number("busy_seconds", busy_seconds, 0.0), _number("idle_seconds", idle_seconds, 0.0)
    joules = accelerators * (draw.watts() * busy + draw.watts(0.0) * idle)
    assumed = draw.load is None
    origin = f"assumed load {TRAINING_LOAD:.0%}" if assumed else f"measured load {draw.load:.0%}"
    sigma = hypot(LOAD_SIGMA if assumed else 0.0, MEASURED_SIGMA)
    source = f"{draw.design_watts:g} W design power of {draw.row} at {origin}, facility × {draw.facility_factor:g}"
    return Prediction(joules / SECONDS_PER_HOUR / 1000.0, sigma, "kWh", source)


def carbon_kilograms(kilowatt_hours: float, grams_per_kilowatt_hour: float) -> float:
    """CO₂ equivalents of that energy at the grid's intensity, which the caller knows."""
    return _number("kilowatt_hours", kilowatt_hours, 0.0) * _number("intensity", grams_per_kilowatt_hour, 0.0) / 1000.0


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _number(name: str, value: float, low: float, high: float = float("inf")) -> float:
    if not (isfinite(value) and low <= value <= high):
        raise InvalidSpec(name, value, f"give a finite number from {low:g}" + (f" to {high:g}" if isfinite(high) else ""))
    return float(value)
