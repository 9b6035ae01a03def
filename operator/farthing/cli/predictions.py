"""Predictions beside measurements. What counts is what was predicted before anything of the job had trained."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from farthing.api import SpendRecord
from farthing.api.amounts import Axis
from farthing.api.job import Estimate, PlanStatus
from farthing.cli.bill import bill_lines, total
from farthing.cli.output import plain_table
from farthing.cli.sentences import spoken
from farthing.cli.tables import NONE
from farthing.domain.plan import Prediction
from farthing.engine.opening import plan_of
from farthing.engine.plan_status import HIGH, LOW, predictions
from farthing.units import format_bytes, format_count, format_duration, parse_quantity

RUN = ("seconds", "cost", "tokens", "flops", "loss")
"""What the whole run came to: known when every train attempt is settled."""
SHORT_SECONDS = 10.0
"""Times below this are shown with their fractions."""


def estimates(plan: PlanStatus | None, records: Sequence[SpendRecord]) -> dict[str, Estimate]:
    """By name: the first train record's plan, made before anything was measured and with the whole budget ahead.

    Beside it what all train attempts came to, and what the newest one measured of the machine (`plan` is the status' own).
    Before an attempt has trained, the status' plan alone.
    """
    newest = dict(plan.predictions) if plan is not None else {}
    trained = [record for record in records if record.spec.stage == "Train"]
    first = plan_of(trained[0]) if trained else None
    if first is None:
        return newest
    whole = whole_run(trained)
    of_machine: dict[str, float | None] = {
        name: _plain(each.measured) for name, each in newest.items() if each.measured is not None and name not in RUN
    }
    return {name: _estimate(each, {**of_machine, **whole}.get(name)) for name, each in predictions(first).items()}


def whole_run(trained: Sequence[SpendRecord]) -> Mapping[str, float | None]:
    """What all train attempts came to, by the name of the prediction; None where some attempt still runs."""
    if not trained or any(record.status.phase != "Settled" for record in trained):
        return {}
    whole, newest = total(trained), trained[-1].status
    return {
        "seconds": float(sum(line.seconds for line in bill_lines(trained))),
        "cost": float(whole[Axis.COST]) or None,
        "tokens": float(whole[Axis.TOKENS]) or None,
        "flops": float(whole[Axis.FLOPS]) or None,
        "loss": float(newest.validation_loss) if newest.validation_loss else None,
    }


def predictions_table(found: Mapping[str, Estimate], title: str | None = None) -> Table:
    """What was predicted, its 80 % interval, what was measured, and by how much the prediction was off."""
    right = ("PREDICTED", "80 % LOW", "80 % HIGH", "MEASURED", "ERROR")
    table = plain_table("WHAT", *right, "SOURCE", right=right, title=title)
    for name, estimate in found.items():
        numbers = [_number(text, estimate.unit) for text in (estimate.value, estimate.low, estimate.high, estimate.measured)]
        table.add_row(spoken(name), *numbers, error_text(estimate), estimate.source)
    return table


def relative_error(estimate: Estimate) -> float | None:
    """predicted ÷ measured − 1; None without a measurement."""
    if estimate.measured is None or _plain(estimate.measured) == 0:
        return None
    return _plain(estimate.value) / _plain(estimate.measured) - 1


def error_text(estimate: Estimate) -> str:
    """The relative error with its sign, or a dash."""
    error = relative_error(estimate)
    return NONE if error is None else f"{error:+.1%}"


def _estimate(prediction: Prediction, measured: float | None) -> Estimate:
    return Estimate(
        value=f"{prediction.value:.6g}",
        low=f"{prediction.quantile(LOW):.6g}" if prediction.sigma else None,
        high=f"{prediction.quantile(HIGH):.6g}" if prediction.sigma else None,
        measured=f"{measured:.6g}" if measured else None,
        unit=prediction.unit,
        source=prediction.source[:512],
    )


def _plain(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float(parse_quantity(text))


def _number(text: str | None, unit: str) -> str:
    if text is None:
        return NONE
    value = _plain(text)
    if unit in ("B", "bytes"):
        return format_bytes(value)
    if unit in ("s", "seconds"):
        return format_duration(value) if value >= SHORT_SECONDS else f"{value:.3g}s"
    return f"{value:.4g}" if abs(value) < 1000 else format_count(value)
