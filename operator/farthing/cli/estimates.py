"""`farthing estimates`: the planner's estimates against a file of measured runs, and its free constants fitted to one."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Group, RenderableType
from rich.text import Text

from farthing import __version__
from farthing.cli.output import Format, OutputOption, emit, plain_table, words
from farthing.cli.tables import NONE
from farthing.clock import SystemClock
from farthing.errors import InvalidSpec, UserError
from farthing.estimates.configuration import Floats
from farthing.estimates.constants_file import ConstantsFile, parsed, written
from farthing.estimates.memory import estimate_memory
from farthing.estimates.rows import MeasuredRows, read_rows
from farthing.estimates.scoring import GroupScore, averaged, by_group, safe_score
from farthing.estimates.throughput import estimate_time
from farthing.units import GIB, format_time

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Check the estimates against measured runs, or fit them.")

ConstantsOption = Annotated[
    Path | None,
    typer.Option("--constants", metavar="FITTED.toml", help="Constants that `fit` wrote, instead of the shipped ones."),
]
RowsArgument = Annotated[Path, typer.Argument(metavar="ROWS.csv", help="Measured runs in the ground truth's schema.")]
FEWEST = 3
"""Measured rows below which nothing is fitted."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """Of every accepted row: bytes, and tokens/s of one device; NaN where it cannot be predicted."""

    allocated: Floats
    reserved: Floats
    safe: Floats
    peak: Floats
    """On the row's own metric."""
    speed: Floats


@app.command()
def check(rows: RowsArgument, constants: ConstantsOption = None, output: OutputOption = Format.TABLE) -> None:
    """Predict memory and tokens/s of every row, and compare with what was measured, source by source.

    A row whose metric is unknown, and not known of its framework, is compared with allocated memory. Rows with a value that is
    not modelled are refused and counted.
    """
    measured = _read(rows)
    used = _constants(constants)
    predicted = predict(measured, used)
    found = {**summary(measured, predicted), "constants": _origin(constants, used)}
    emit({"rows": _rows(measured, predicted), "summary": found}, output, lambda: page(found))


@app.command()
def fit(
    rows: RowsArgument,
    output: Annotated[Path, typer.Option("--output", help="Where the constants are written, with their provenance.")],
) -> None:
    """Fit the estimates' free constants to measured rows. No constant is fitted per row or per source.

    `farthing estimates check --constants` reads what this writes.
    """
    measured = _read(rows)
    fitted: dict[str, Any] = {}
    counts = {}
    for kind, usable in (("memory", measured.for_memory), ("time", measured.for_time)):
        if usable.sum() < FEWEST:
            words.print(f"{kind}: {usable.sum()} usable rows, fewer than {FEWEST}: not fitted")
            continue
        fitted[kind], counts[kind] = _fitter(kind)(measured.take(usable)), int(usable.sum())
    content = ConstantsFile(**fitted, provenance=_provenance(rows, measured), rows=counts)
    try:
        output.write_text(written(content), encoding="utf-8")
    except OSError as error:
        raise InvalidSpec("--output", str(output), f"cannot be written: {error.strerror}") from error
    words.print(f"wrote {output}")


def predict(measured: MeasuredRows, used: ConstantsFile) -> Predicted:
    """What the estimators say of the accepted rows."""
    if not len(measured):
        nothing = np.empty(0)
        return Predicted(nothing, nothing, nothing, nothing, nothing)
    memory = estimate_memory(measured.configurations, used.memory)
    time = estimate_time(measured.configurations, used.time)
    known = np.isfinite(measured.configurations.peak_flops) & (measured.configurations.peak_flops > 0)
    speed = np.where(known, time.tokens_per_second_per_device, np.nan)
    return Predicted(memory.allocated, memory.reserved, memory.safe, measured.predicted_peak(memory), speed)


def summary(measured: MeasuredRows, predicted: Predicted) -> dict[str, Any]:
    """Errors by source and averaged with equal weight, what admission would have done, and the refused rows by reason."""
    memory, time = measured.for_memory, measured.for_time
    reasons = list(measured.refused.values())
    safe = {key: _number(value) for key, value in asdict(safe_score(measured, predicted.safe)).items()}
    return {
        "rows": len(measured.order),
        "predicted": len(measured),
        "refused": {
            "rows": len(measured.refused),
            "reasons": {reason: reasons.count(reason) for reason in sorted(set(reasons))},
        },
        "memory": _scores(measured.take(memory), predicted.peak[memory], measured.peak[memory], predicted.safe[memory]),
        "safe": safe,
        "throughput": _scores(measured.take(time), predicted.speed[time], measured.tokens_per_s_per_gpu[time]),
        "throughput_not_predicted": {"accelerator without known peaks": int((~np.isfinite(predicted.speed)).sum())},
        "unknown_metric_compared_with_allocated": int((measured.metric[memory] == "unknown").sum()),
    }


def page(data: Mapping[str, Any]) -> RenderableType:
    """The summary as tables: memory, throughput, admission, refusals."""
    tables = []
    for title, unit in (("memory", "peak"), ("throughput", "tokens/s")):
        table = plain_table(
            title.upper(), "ROWS", "MEDIAN", "P95", "BIAS", "UNDER SAFE", right=("ROWS", "MEDIAN", "P95", "BIAS", "UNDER SAFE")
        )
        for group, score in data[title].items():
            cells = [_percent(score.get(name)) for name in ("median", "p95", "bias", "safe_under_prediction_rate")]
            table.add_row(group, str(score["n"]), *cells)
        tables.append(table if data[title] else Text(f"no row with measured {unit}"))
    safe = data["safe"]
    refused = data["refused"]
    lines = [
        f"safe: {_percent(safe['oom_declared_to_fit'])} of {safe['oom_rows']} runs out of memory declared to fit; "
        f"{_percent(safe['ok_declared_unfit'])} of {safe['ok_rows']} that ran declared unfit; below allocated "
        f"{_percent(safe['below_allocated'])}; above reserved {_percent(safe['above_reserved'])} on average",
        f"predicted {data['predicted']} of {data['rows']} rows; refused {refused['rows']}",
        *(f"refused {count}: {reason}" for reason, count in refused["reasons"].items()),
        f"constants: {data['constants']['file'] or 'shipped'}",
    ]
    return Group(*tables, *(Text(line) for line in lines))


def _read(path: Path) -> MeasuredRows:
    try:
        return read_rows(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidSpec("ROWS.csv", str(path), str(error)) from None


def _rows(measured: MeasuredRows, predicted: Predicted) -> list[dict[str, Any]]:
    """One entry a row of the file, in its order."""
    at = {int(position): index for index, position in enumerate(measured.positions)}
    return [_row(row_id, at.get(position), measured, predicted) for position, row_id in enumerate(measured.order)]


def _row(row_id: str, index: int | None, measured: MeasuredRows, predicted: Predicted) -> dict[str, Any]:
    gib = {"allocated_gib": predicted.allocated, "reserved_gib": predicted.reserved, "safe_gib": predicted.safe}
    numbers = {name: None if index is None else _number(values[index] / GIB) for name, values in gib.items()}
    numbers["tokens_per_s_per_gpu"] = None if index is None else _number(predicted.speed[index])
    return {"row_id": row_id, "predicted": numbers, "refused": measured.refused.get(row_id) if index is None else None}


def _scores(rows: MeasuredRows, predicted: Floats, measured: Floats, safe: Floats | None = None) -> dict[str, Any]:
    """Per group, and `average`: n, median, p95, bias; with `safe` also how often that is below the measured peak."""
    scores = by_group(rows.groups, predicted, measured)
    under = {
        each.group: safe is not None and safe[rows.groups == each.group] < measured[rows.groups == each.group]
        for each in scores
    }
    found = {each.group: _score(each) for each in [*scores, *([averaged(scores)] if scores else [])]}
    if safe is not None and scores:
        rates = {group: float(np.mean(below)) for group, below in under.items()}
        for group, score in found.items():
            score["safe_under_prediction_rate"] = rates.get(group, float(np.mean(list(rates.values()))))
    return found


def _score(score: GroupScore) -> dict[str, Any]:
    return {key: value for key, value in asdict(score).items() if key != "group"}


def _number(value: Any) -> Any:
    """A plain number of six digits, or None for NaN: JSON has no word for it."""
    if isinstance(value, int):
        return value
    return float(f"{float(value):.6g}") if np.isfinite(value) else None


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{share:.1%}"


def _fitter(kind: str) -> Any:
    """`fit_memory` or `fit_time`. Raises UserError where the packages of the fit are not installed."""
    try:
        return getattr(import_module(f"farthing.estimates.fitting_{kind}"), f"fit_{kind}")
    except ImportError as error:
        raise UserError(f"fitting needs {error.name}: install farthing[cli]") from None


def _provenance(path: Path, measured: MeasuredRows) -> dict[str, Any]:
    return {
        "command": "farthing estimates fit",
        "version": __version__,
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "fitted_at": format_time(SystemClock().now()),
        "source_groups": [str(group) for group in np.unique(measured.groups)],
    }


def _constants(path: Path | None) -> ConstantsFile:
    """Those of the file; the shipped ones without. Raises InvalidSpec that says what is wrong with the file."""
    try:
        return parsed(path.read_text(encoding="utf-8")) if path else ConstantsFile()
    except (OSError, ValueError) as error:
        raise InvalidSpec("--constants", str(path), str(error)) from None


def _origin(path: Path | None, used: ConstantsFile) -> dict[str, Any]:
    """Which constants the predictions are made with."""
    return {"file": path.name, "rows": dict(used.rows), **used.provenance} if path else {"file": None}
