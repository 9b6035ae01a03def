"""Fits the free constants of the memory estimate to measured rows."""

from dataclasses import replace

import numpy as np
from scipy.optimize import least_squares

from farthing.estimates.configuration import Floats
from farthing.estimates.constants_memory import MemoryConstants
from farthing.estimates.memory import estimate_memory
from farthing.estimates.memory.allocator import ESTIMATED, resting_bytes, totals
from farthing.estimates.results import MemoryBreakdown
from farthing.estimates.rows import MeasuredRows

ROW_SIGMA = 0.06
"""Expected error of a row's logarithm: what repeated runs and unknown versions leave unexplained."""
SOURCE_ROWS = 30.0
"""What a source counts, in independent rows, however many it has: its rows share code and settings."""
COVERED = 0.985
"""Share of measured allocations that the margin of admission covers."""
MARGINS = (1.08, 1.13)
"""Bounds of that margin: a little where all is counted, and not so much that nothing fits."""


def fit_memory(rows: MeasuredRows) -> MemoryConstants:
    """Constants of the highest posterior: robust errors of the logarithm on each row's own metric, sources with equal weight,
    against the counted values. Rows without a measured peak do not count; without any the counted values stay."""
    chosen = rows.take(rows.for_memory)
    if not len(chosen):
        return MemoryConstants()
    weight = _weights(chosen)
    facts, names = MemoryConstants.facts(), MemoryConstants.free()
    prior = np.log([facts[name]["prior"] for name in names])
    spread = np.array([facts[name]["spread"] for name in names])

    def residuals(z: Floats) -> Floats:
        breakdown = estimate_memory(chosen.configurations, _constants(names, prior + spread * z))
        own = np.log(chosen.predicted_peak(breakdown) / chosen.peak) / ROW_SIGMA
        held = _held(chosen, breakdown) / ROW_SIGMA
        return np.concatenate([np.sqrt(weight) * _tempered(own), np.sqrt(weight) * _tempered(held), z])

    found = least_squares(residuals, np.zeros(len(names)), method="trf", max_nfev=30, diff_step=1e-3)
    constants = _constants(names, prior + spread * found.x)
    return replace(constants, safe_active=_margin(chosen, constants))


def _held(rows: MeasuredRows, breakdown: MemoryBreakdown) -> Floats:
    """Logarithm of predicted ÷ measured reserved memory, or of what the driver reports, where a row has it beside its own
    metric; 0 where it has not."""
    driver = np.isfinite(rows.nvidia_smi) & ~np.isfinite(rows.reserved)
    measured = np.where(driver, rows.nvidia_smi, rows.reserved)
    known = np.isfinite(measured) & (rows.metric != "reserved") & (rows.metric != "nvidia_smi")
    predicted = np.where(driver, breakdown.used, breakdown.reserved)
    return np.asarray(np.where(known, np.log(predicted / np.where(known, measured, predicted)), 0.0), dtype=np.float64)


def _constants(names: tuple[str, ...], logarithms: Floats) -> MemoryConstants:
    values = dict(zip(names, np.exp(logarithms).tolist(), strict=True))
    ratios = {name: max(values[name], 1.0) for name in ("reserved_fixed", "reserved_variable")}
    return MemoryConstants(**{**values, **ratios})


def _weights(rows: MeasuredRows) -> Floats:
    """Rows of a source share `SOURCE_ROWS` between them; none counts more than a row."""
    _, source, count = np.unique(rows.groups, return_inverse=True, return_counts=True)
    return np.minimum(SOURCE_ROWS / count[source], 1.0)


def _tempered(miss: Floats) -> Floats:
    """Signed root of the logarithmic (Cauchy) loss: a row that the terms do not describe pulls little."""
    return np.asarray(np.sign(miss) * np.sqrt(np.log1p(miss**2)), dtype=np.float64)


def _margin(rows: MeasuredRows, k: MemoryConstants) -> float:
    """The margin on what comes and goes under which `COVERED` of the measured allocations lie, sources with equal weight."""
    known = np.isfinite(rows.allocated)
    if not known.any():
        return MemoryConstants().safe_active
    chosen = rows.take(known)
    breakdown = estimate_memory(chosen.configurations, k)
    resting = resting_bytes(breakdown.terms)
    phases = totals(breakdown.terms)
    active = np.maximum(np.maximum.reduce([phases[name] for name in ESTIMATED]) - resting, 1.0)
    needed = (chosen.allocated - breakdown.context - k.safe_states * resting) / active
    order, weight = np.argsort(needed), _weights(chosen)
    share = np.cumsum(weight[order]) / weight.sum()
    return float(np.clip(needed[order][np.searchsorted(share, COVERED)], *MARGINS))
