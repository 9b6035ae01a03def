"""How good predictions of measured rows are: errors by source, leave-one-source-out, admission, choice in sweeps, baselines.

Errors are relative: predicted ÷ measured − 1. Sources weigh the same however many rows they have.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from farthing.estimates.configuration import Configurations, Floats
from farthing.estimates.rows import MeasuredRows

Mask = npt.NDArray[np.bool_]
Constants = TypeVar("Constants")

PLANNER_KNOBS = (
    "dp", "tp", "pp", "vpp", "pp_schedule", "cp", "ep", "shard", "sequence_parallel", "async_tp", "micro_batch", "ac", "ac_n",
    "compile", "loss_impl", "attention", "lowp_recipe", "optimizer", "optimizer_in_backward", "activation_offload",
    "cpu_offload", "peft", "data_mode",
)  # fmt: skip
"""Columns that a planner chooses: a sweep counts where at least one of them varies."""


@dataclass(frozen=True, slots=True)
class GroupScore:
    """Relative errors of one group's rows."""

    group: str
    n: int
    median: float
    p95: float
    bias: float
    """Median signed error."""


@dataclass(frozen=True, slots=True)
class SafeScore:
    """What the admission value does; each figure a share of the rows that it concerns, NaN where there are none."""

    oom_rows: int
    oom_declared_to_fit: float
    ok_rows: int
    ok_declared_unfit: float
    allocated_rows: int
    below_allocated: float
    reserved_rows: int
    above_reserved: float
    """Mean of safe ÷ measured reserved − 1 over rows of fixed length."""


@dataclass(frozen=True, slots=True)
class SweepChoice:
    """Throughput lost in one sweep: 1 − chosen ÷ best; 1 where the choice ran out of memory."""

    sweep: str
    group: str
    size: int
    lost: float


def errors(predicted: Floats, measured: Floats) -> Floats:
    """Signed relative errors."""
    return np.asarray(predicted / measured - 1.0, dtype=np.float64)


def by_group(groups: npt.NDArray[np.str_], predicted: Floats, measured: Floats) -> list[GroupScore]:
    """One score a group, in alphabetic order; rows without both numbers do not count."""
    signed = errors(predicted, measured)
    known = np.isfinite(signed)
    return [_score(str(group), signed[known & (groups == group)]) for group in np.unique(groups[known])]


def merged_groups(rows: MeasuredRows) -> npt.NDArray[np.str_]:
    """Each row's group, where groups that run one framework's code (one fold) are one, its names joined by `+`."""
    named = {fold: "+".join(np.unique(rows.groups[rows.folds == fold])) for fold in np.unique(rows.folds)}
    return np.array([named[fold] for fold in rows.folds], dtype=np.str_)


def averaged(scores: list[GroupScore]) -> GroupScore:
    """The groups' figures averaged with equal weight. Raises ValueError without any."""
    if not scores:
        raise ValueError("no group to average")
    median, p95, bias = (float(np.mean([getattr(each, name) for each in scores])) for name in ("median", "p95", "bias"))
    return GroupScore("average", sum(each.n for each in scores), median, p95, bias)


def leave_one_out(
    rows: MeasuredRows,
    fit: Callable[[MeasuredRows], Constants],
    predict: Callable[[MeasuredRows, Constants], Floats],
    folds: npt.NDArray[Any] | None = None,
) -> Floats:
    """Each fold's rows predicted with constants fitted on the other folds; `rows.folds` unless others are given."""
    folds = rows.folds if folds is None else folds
    predicted = np.full(len(rows), np.nan)
    for fold in np.unique(folds):
        constants = fit(rows.take(folds != fold))
        predicted[folds == fold] = predict(rows.take(folds == fold), constants)
    return predicted


def inside_sources(
    rows: MeasuredRows,
    fit: Callable[[MeasuredRows], Constants],
    predict: Callable[[MeasuredRows, Constants], Floats],
) -> Floats:
    """Within each group, constants fitted on one half of its models predict the other half.

    Both halves are predicted, each with the constants of the other.
    """
    halves, predicted = model_halves(rows), np.full(len(rows), np.nan)
    for group in np.unique(rows.groups):
        for half in (0, 1):
            scored = (rows.groups == group) & (halves == half)
            fitted = (rows.groups == group) & (halves != half)
            if scored.any() and fitted.any():
                predicted[scored] = predict(rows.take(scored), fit(rows.take(fitted)))
    return predicted


def model_halves(rows: MeasuredRows) -> npt.NDArray[np.int64]:
    """0 or 1 per row: models of each group by number of parameters, every second one in the other half."""
    halves = np.zeros(len(rows), dtype=np.int64)
    for group in np.unique(rows.groups):
        here = rows.groups == group
        halves[here] = np.unique(rows.configurations.parameters[here], return_inverse=True)[1] % 2
    return halves


def safe_score(rows: MeasuredRows, safe: Floats) -> SafeScore:
    """`safe` (bytes) against what ran, what did not, and what was measured. Only rows whose memory the schema calls ready, and
    rows that ran on a device of known size."""
    capacity = rows.configurations.device_memory
    sized = np.isfinite(capacity) & np.isfinite(safe)
    fits = safe <= capacity
    failed = sized & rows.out_of_memory & rows.mem_ready
    ran = sized & rows.ok & (rows.mem_ready | rows.time_ready)
    tensors = rows.ok & rows.mem_ready & np.isfinite(rows.allocated)
    cached = rows.ok & rows.mem_ready & np.isfinite(rows.reserved) & (rows.configurations.variable_length == 0)
    return SafeScore(
        int(failed.sum()), _share(fits[failed]),
        int(ran.sum()), _share(~fits[ran]),
        int(tensors.sum()), _share(safe[tensors] < rows.allocated[tensors]),
        int(cached.sum()), _share(errors(safe[cached], rows.reserved[cached])),
    )  # fmt: skip


def sweep_choices(rows: MeasuredRows, merit: Floats, admitted: Mask | None = None) -> list[SweepChoice]:
    """What choosing the member of highest merit loses in every sweep of three and more measured rows with a planner knob.

    Members that are not admitted are chosen only where none is. Merit of NaN is never chosen before a number.
    """
    allowed = np.ones(len(rows), dtype=np.bool_) if admitted is None else admitted
    ranked = np.where(np.isfinite(merit), merit, -np.inf)
    found = []
    for members in _sweeps(rows):
        offered = members[allowed[members]]
        offered = offered if len(offered) else members
        found.append(_choice(rows, members, _loss(rows, members)[members == offered[np.argmax(ranked[offered])]][0]))
    return found


def random_choices(rows: MeasuredRows) -> list[SweepChoice]:
    """What a random choice loses on average in the same sweeps."""
    return [_choice(rows, members, _loss(rows, members).mean()) for members in _sweeps(rows)]


def least_parallel_choices(rows: MeasuredRows) -> list[SweepChoice]:
    """The rule of thumb: the least TP × PP, then the largest micro-batch."""
    own = rows.configurations
    return sweep_choices(rows, own.micro_batch - 1e6 * own.tp * own.pp)


def constant_mfu(fitted: MeasuredRows, scored: MeasuredRows) -> Floats:
    """The baseline: tokens/s per device at one MFU an accelerator, or one for all where it was not seen.

    An MFU is the median over sources of each source's median, so that no source decides by its number of rows.
    """
    measured = fitted.tokens_per_s_per_gpu * model_flops(fitted.configurations) / fitted.configurations.peak_flops
    utilisation = np.full(len(scored), _over_sources(fitted.groups, measured))
    for name in np.unique(scored.accelerators):
        seen = fitted.accelerators == name
        if seen.any():
            utilisation[scored.accelerators == name] = _over_sources(fitted.groups[seen], measured[seen])
    own = scored.configurations
    return np.asarray(utilisation * own.peak_flops / model_flops(own), dtype=np.float64)


def model_flops(c: Configurations) -> Floats:
    """FLOPs of one token, forward and backward, nothing computed again: 6 per matrix weight, 12·L·q·s for attention; frozen
    weights have no gradients of their own (4 instead of 6)."""
    weights = c.layers * c.layer_matmul_parameters + c.embedding_parameters
    attention = 12.0 * c.layers * c.query_width * c.sequence_length
    return np.asarray(np.where(c.has_adapter > 0, 4.0, 6.0) * weights + attention, dtype=np.float64)


def after_one_row(rows: MeasuredRows, predicted: Floats) -> Floats:
    """Predictions times what the first measured row of the same family, strategy and accelerator showed; NaN for that row."""
    keys = np.char.add(np.char.add(rows.families, "\n"), np.char.add(np.char.add(rows.strategies, "\n"), rows.accelerators))
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    ratio = rows.tokens_per_s_per_gpu / predicted
    corrected = predicted * ratio[first][index]
    corrected[first] = np.nan
    return np.asarray(corrected, dtype=np.float64)


def _score(group: str, signed: Floats) -> GroupScore:
    size = np.abs(signed)
    return GroupScore(group, len(signed), float(np.median(size)), float(np.quantile(size, 0.95)), float(np.median(signed)))


def _over_sources(groups: npt.NDArray[np.str_], values: Floats) -> float:
    return float(np.median([np.median(values[groups == group]) for group in np.unique(groups)]))


def _share(values: npt.NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _sweeps(rows: MeasuredRows) -> list[npt.NDArray[np.int64]]:
    """Positions of the members of every sweep that counts: three measured rows and a planner knob that varies."""
    members = {str(sweep): np.flatnonzero(rows.sweeps == sweep) for sweep in np.unique(rows.sweeps[rows.sweeps != ""])}
    return [at for at in members.values() if _measured(rows)[at].sum() >= 3 and _has_knob(rows, at)]


def _measured(rows: MeasuredRows) -> Mask:
    return np.asarray(rows.for_time, dtype=np.bool_)


def _has_knob(rows: MeasuredRows, members: npt.NDArray[np.int64]) -> bool:
    return bool(set(str(rows.sweep_vary[members[0]]).split("+")) & set(PLANNER_KNOBS))


def _loss(rows: MeasuredRows, members: npt.NDArray[np.int64]) -> Floats:
    """1 − throughput ÷ the sweep's best; 1 for members that were not measured (out of memory)."""
    speed = np.where(_measured(rows)[members], np.nan_to_num(rows.tokens_per_s_per_gpu[members]), 0.0)
    return np.asarray(1.0 - speed / speed.max(), dtype=np.float64)


def _choice(rows: MeasuredRows, members: npt.NDArray[np.int64], lost: float) -> SweepChoice:
    return SweepChoice(str(rows.sweeps[members[0]]), str(rows.groups[members[0]]), len(members), float(lost))
