"""What a measured run says beside its prediction, and when it is not believed."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, isfinite, log, sqrt
from typing import Any, Final

from farthing.errors import InvalidSpec

THROUGHPUT: Final = "throughput"
MEMORY: Final = "memory"
PRIOR_SIGMA: Final = {THROUGHPUT: 0.20, MEMORY: 0.10}
"""Relative deviation of a run from its estimate before anything was measured; the caller passes the estimate's own where it
has one."""
NOISE_SIGMA: Final = {THROUGHPUT: 0.05, MEMORY: 0.02}
"""Part of it that is the single run's: between runs of one triple whose plans differ in batch and gang, by measured rows of one
source (half the squared difference of log-ratios; its median over pairs, as a deviation, by source: 3-13 % and 1-9 %, in the
middle 3 % and 2 %); taken for runs of one plan too."""
REFUSED: Final = 10.0
"""Ratio measured ÷ predicted, either way, beyond which a mistake of units or of the meter is likelier than such an error."""


@dataclass(frozen=True, slots=True, order=True)
class Triple:
    """What a correction is for."""

    family: str
    """Model family, such as `llama`."""
    strategy: str
    """How the step is executed: the strategy's signature, or a coarser name of it."""
    accelerator: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measured run beside its prediction, with where it comes from."""

    quantity: str
    """THROUGHPUT or MEMORY."""
    triple: Triple
    measured: float
    predicted: float
    """By the formulas alone, in the same unit as `measured`: never an already corrected number."""
    unit: str
    origin: str
    """Job, attempt and image that measured it; one origin counts once per quantity and triple."""
    measured_at: str
    """RFC 3339 time, as given."""
    sigma: float | None = None
    """Relative deviation that the prediction stated of itself; None: PRIOR_SIGMA."""

    @property
    def log_ratio(self) -> float:
        """ln(measured ÷ predicted)."""
        return log(self.measured / self.predicted)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A measurement that was not learnt from, and why."""

    evidence: Evidence
    reason: str


def refusal(evidence: Evidence) -> str:
    """Why a measurement cannot be learnt from; empty where it can."""
    if evidence.quantity not in PRIOR_SIGMA:
        return f"quantity {evidence.quantity!r} is not one of {', '.join(sorted(PRIOR_SIGMA))}"
    for name in ("measured", "predicted"):
        value = getattr(evidence, name)
        if not isfinite(value) or value <= 0:
            return f"{name} {evidence.quantity} of {value} {evidence.unit} is no finite number above 0"
    if evidence.sigma is not None and not (isfinite(evidence.sigma) and evidence.sigma > 0):
        return f"a deviation of {evidence.sigma} is no finite number above 0"
    ratio = evidence.log_ratio
    if abs(ratio) > log(REFUSED):
        return f"measured {evidence.measured:.4g} {evidence.unit} is {exp(ratio):.4g} times the prediction: beyond {REFUSED:g}"
    return ""


def evidence_of(entry: Mapping[str, Any]) -> Evidence:
    """What `asdict` made of it. Raises KeyError, TypeError and ValueError."""
    return Evidence(
        quantity=str(entry["quantity"]),
        triple=Triple(**{name: str(entry["triple"][name]) for name in ("family", "strategy", "accelerator")}),
        measured=float(entry["measured"]),
        predicted=float(entry["predicted"]),
        unit=str(entry["unit"]),
        origin=str(entry["origin"]),
        measured_at=str(entry["measured_at"]),
        sigma=None if entry.get("sigma") is None else float(entry["sigma"]),
    )


def prior_of(quantity: str, given: float | None) -> float:
    """Relative deviation before any measurement: the estimate's own where it states one. Raises InvalidSpec."""
    if quantity not in PRIOR_SIGMA:
        raise InvalidSpec("quantity", quantity, f"use one of {', '.join(sorted(PRIOR_SIGMA))}")
    prior = PRIOR_SIGMA[quantity] if given is None else given
    if not (isfinite(prior) and prior > 0):
        raise InvalidSpec("prior_sigma", prior, "give a finite number above 0")
    return prior


def shareable(quantity: str, sigma: float) -> float:
    """Deviation that runs can have in common: without the single run's, which is half of it at most."""
    return sqrt(max(sigma**2 - NOISE_SIGMA[quantity] ** 2, sigma**2 / 4.0))
