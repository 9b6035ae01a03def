"""Fits the free constants of the time estimate to measured rows."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from farthing.estimates.configuration import Floats
from farthing.estimates.constants_time import TimeConstants
from farthing.estimates.rows import MeasuredRows
from farthing.estimates.throughput import estimate_time
from farthing.estimates.throughput.passes import matmuls_again, weight_gradients

ROW_SIGMA = 0.08
"""Expected error of a row's logarithm."""
EFFECTIVE_ROWS = 40.0
"""What a source counts at most, in independent rows: its rows share hardware, code and the person who measured."""

ROW_LIMIT = 3.0
"""What one row counts at most, so that no source of few rows is fitted to its noise."""

PLAUSIBLE = 0.86
"""The highest share of a datasheet peak in published matmuls (`sustained`): what needs more counted something else."""


def fit_time(rows: MeasuredRows) -> TimeConstants:
    """Constants of the highest posterior: errors of log tokens/s, robust, sources with equal weight, against the priors."""
    chosen = rows.take(rows.for_time)
    chosen = chosen.take(plausible(chosen))
    facts, names = TimeConstants.facts(), TimeConstants.free()
    prior = np.log([facts[name]["prior"] for name in names])
    spread = np.array([facts[name]["spread"] for name in names])
    weight = _weights(chosen)

    def residuals(z: Floats) -> Floats:
        constants = _constants(names, prior + spread * z)
        speed = estimate_time(chosen.configurations, constants).tokens_per_second_per_device
        miss = np.log(speed / chosen.tokens_per_s_per_gpu) / ROW_SIGMA
        return np.concatenate([weight * _tempered(miss), z])

    found = least_squares(residuals, np.zeros(len(names)), method="trf", max_nfev=40, diff_step=1e-3)
    return _constants(names, prior + spread * found.x)


def plausible(rows: MeasuredRows) -> npt.NDArray[np.bool_]:
    """Rows whose matrix products alone would not need more than `PLAUSIBLE` of the datasheet's peak."""
    c = rows.configurations
    passes = 2.0 + matmuls_again(c) + weight_gradients(c)
    per_token = c.layers * c.layer_matmul_parameters * passes + c.embedding_parameters * (2.0 + weight_gradients(c))
    needed = 2.0 * per_token * rows.tokens_per_s_per_gpu
    return np.asarray(needed <= PLAUSIBLE * np.where(c.fp8 > 0, np.maximum(c.peak_fp8_flops, c.peak_flops), c.peak_flops))


def _constants(names: tuple[str, ...], logarithms: Floats) -> TimeConstants:
    return replace(TimeConstants(), **dict(zip(names, np.exp(logarithms).tolist(), strict=True)))


def _tempered(miss: Floats) -> Floats:
    """Signed square root of the soft absolute value 2(√(1 + x²) − 1): outliers count by their size, not its square."""
    return np.sign(miss) * np.sqrt(2.0 * (np.sqrt(1.0 + miss * miss) - 1.0))


def _weights(rows: MeasuredRows) -> Floats:
    """Root of each row's weight: sources count equally, rows inside one equally."""
    _, index, counts = np.unique(rows.groups, return_inverse=True, return_counts=True)
    return np.asarray(np.sqrt(np.minimum(EFFECTIVE_ROWS / counts[index], ROW_LIMIT)), dtype=np.float64)
