"""How good the estimates are on measured runs: `python -m tests.benchmarks.estimators --out docs/results/estimators.json`.

Memory and tokens/s, leaving one source out (its rows are predicted with constants fitted on the others), inside a source, after
one measured row, what admission would have done, and the choice in sweeps, with naive rules beside it. The rows are those of
`$FARTHING_SHARED/ground_truth/training_runs.csv` unless another file is named.
"""

import argparse
import csv
import io
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tests.benchmarks.estimators_ablation import ALONE, ablation
from tests.benchmarks.published_estimators import side_by_side

from farthing.estimates.configuration import Floats
from farthing.estimates.fitting_memory import fit_memory
from farthing.estimates.fitting_time import fit_time
from farthing.estimates.memory import estimate_memory
from farthing.estimates.rows import MeasuredRows, read_rows
from farthing.estimates.scoring import (
    SweepChoice,
    after_one_row,
    averaged,
    by_group,
    constant_mfu,
    inside_sources,
    least_parallel_choices,
    leave_one_out,
    merged_groups,
    random_choices,
    safe_score,
    sweep_choices,
)
from farthing.estimates.throughput import estimate_time

MANY = 100_000
VERSIONS = ("farthing", "numpy", "scipy")


def peak(rows: MeasuredRows, constants: Any) -> Floats:
    """Predicted bytes on each row's own metric."""
    return rows.predicted_peak(estimate_memory(rows.configurations, constants))


def safe(rows: MeasuredRows, constants: Any) -> Floats:
    """What admission compares with the device's memory."""
    return estimate_memory(rows.configurations, constants).safe


def speed(rows: MeasuredRows, constants: Any) -> Floats:
    """Predicted tokens/s of one device."""
    return estimate_time(rows.configurations, constants).tokens_per_second_per_device


def errors(rows: MeasuredRows, predicted: Floats, measured: Floats) -> dict[str, Any]:
    """By group and averaged with equal weight; torchtitan and torchao also as the one group that their code makes them."""
    merged = merged_groups(rows)
    scores = by_group(rows.groups, predicted, measured)
    together = [each for each in by_group(merged, predicted, measured) if each.group != ALONE]
    return {
        "groups": {each.group: numbers(asdict(each)) for each in scores},
        "average": numbers(asdict(averaged([each for each in scores if each.group != ALONE] or scores))),
        "averageTorchtitanWithTorchao": numbers(asdict(averaged(together or scores))),
    }


def memory_report(rows: MeasuredRows) -> dict[str, Any]:
    """Peaks and admission, both leaving one source out."""
    measured = rows.take(rows.for_memory)
    left_out = leave_one_out(measured, fit_memory, peak)
    return {
        "leaveOneOut": errors(measured, left_out, measured.peak),
        "shipped": errors(measured, peak(measured, None), measured.peak),
        "safeLeaveOneOut": numbers(asdict(safe_score(rows, leave_one_out(rows, fit_memory, safe)))),
        "worst": worst(measured, left_out),
    }


def worst(rows: MeasuredRows, predicted: Floats, each: int = 3) -> list[dict[str, Any]]:
    """The rows that are furthest off, by group."""
    found = []
    signed = predicted / rows.peak - 1
    for group in np.unique(rows.groups):
        here = np.flatnonzero(rows.groups == group)
        for at in here[np.argsort(-np.abs(signed[here]))[:each]]:
            found.append({"group": str(group), "row": str(rows.ids[at]), "error": round(float(signed[at]), 3)})
    return found


def throughput_report(rows: MeasuredRows) -> dict[str, Any]:
    """Tokens/s: leaving one source out, inside a source, after one row; the constant-MFU baseline by the same protocol."""
    timed = rows.take(rows.for_time)
    others = timed.take(timed.groups != ALONE)
    measured, left_out = others.tokens_per_s_per_gpu, leave_one_out(others, fit_time, speed)
    baseline = leave_one_out(others, lambda fitted: fitted, lambda scored, fitted: constant_mfu(fitted, scored))
    inside = inside_sources(timed, fit_time, speed)
    inside_mfu = inside_sources(timed, lambda fitted: fitted, lambda scored, fitted: constant_mfu(fitted, scored))
    revealed = after_one_row(others, left_out)
    return {
        "leaveOneOut": errors(others, left_out, measured),
        "leaveOneOutConstantMfu": errors(others, baseline, measured),
        "insideASource": errors(timed, inside, timed.tokens_per_s_per_gpu),
        "insideASourceConstantMfu": errors(timed, inside_mfu, timed.tokens_per_s_per_gpu),
        "afterOneRow": errors(others, revealed, measured),
        "afterOneRowP90": p90(others, revealed),
    }


def p90(rows: MeasuredRows, predicted: Floats) -> float:
    """The 90th percentile of the absolute error, averaged over the groups that have predictions."""
    known = np.isfinite(predicted)
    size = np.abs(predicted / rows.tokens_per_s_per_gpu - 1)
    groups = np.unique(rows.groups[known])
    return round(float(np.mean([np.quantile(size[known & (rows.groups == group)], 0.9) for group in groups])), 4)


def regret_report(rows: MeasuredRows) -> dict[str, Any]:
    """Throughput lost by the choice in each sweep; a choice that ran out of memory counts as 100 %."""
    memory, time_constants = estimate_memory(rows.configurations), None
    capacity = rows.configurations.device_memory
    admitted = np.asarray(~(memory.safe > capacity), dtype=np.bool_)
    merit = speed(rows, time_constants)
    every = {
        "ours": sweep_choices(rows, merit, admitted),
        "oursConstantsOfTheOtherHalf": sweep_choices(rows, out_of_sample(rows, merit), admitted),
        "random": random_choices(rows),
        "leastParallelThenLargestMicroBatch": least_parallel_choices(rows),
    }
    return {rule: {"vtrain": lost(found, True), "others": lost(found, False)} for rule, found in every.items()}


def out_of_sample(rows: MeasuredRows, merit: Floats) -> Floats:
    """`merit`, but of measured rows with constants fitted on the other half of their source's models, where there is one."""
    timed = np.flatnonzero(rows.for_time)
    inside = inside_sources(rows.take(timed), fit_time, speed)
    changed = merit.copy()
    changed[timed] = np.where(np.isfinite(inside), inside, merit[timed])
    return changed


def lost(found: Sequence[SweepChoice], alone: bool) -> dict[str, Any]:
    """Mean and p95 over the sweeps of vtrain, or of the others."""
    shares = np.array([each.lost for each in found if (each.group == ALONE) == alone])
    return numbers({"sweeps": len(shares), "mean": np.mean(shares), "p95": np.quantile(shares, 0.95)})


def speed_report(rows: MeasuredRows) -> dict[str, float]:
    """Configurations a second on one core, memory and time together."""
    many = rows.configurations.take(np.resize(np.arange(len(rows)), MANY))

    def both() -> None:
        assert np.isfinite(estimate_memory(many).safe).any()
        assert np.isfinite(estimate_time(many).step_seconds).any()

    return {"configurationsPerSecond": round(MANY / min(seconds(both) for _ in range(3)))}


def seconds(work: Callable[[], None]) -> float:
    """Processor time of one call: what else runs on the machine does not count."""
    before = time.process_time()
    work()
    return time.process_time() - before


def numbers(data: dict[str, Any]) -> dict[str, Any]:
    """Four decimals."""
    return {key: round(float(value), 4) if isinstance(value, float | np.floating) else value for key, value in data.items()}


def main() -> None:
    """Report everything to one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(os.environ.get("FARTHING_SHARED", "../shared")) / "ground_truth" / "training_runs.csv"
    parser.add_argument("--rows", type=Path, default=default)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    text = arguments.rows.read_text(encoding="utf-8")
    rows = read_rows(text)
    report = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in VERSIONS},
        "rows": {"file": len(rows.order), "accepted": len(rows), "refused": len(rows.refused)},
        "memory": memory_report(rows),
        "throughput": throughput_report(rows),
        "regret": regret_report(rows),
        "speed": speed_report(rows),
        "ablation": ablation(rows, text),
        "published": side_by_side(rows, {each["row_id"]: each for each in csv.DictReader(io.StringIO(text))}),
    }
    arguments.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
