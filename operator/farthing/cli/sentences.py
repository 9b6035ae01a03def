"""The decision log in sentences, and predictions beside what was measured."""

import re
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from farthing.api.job import DecisionStatus, Estimate, PlanStatus
from farthing.cli.output import plain_table
from farthing.cli.tables import NONE
from farthing.units import format_bytes, format_count, format_duration, parse_quantity


def decision_lines(decisions: Sequence[DecisionStatus]) -> list[Text]:
    """One line a decision, oldest first: when, what, why, with the numbers."""
    return [_line(decision) for decision in sorted(decisions, key=lambda decision: decision.time)]


def sentence(decision: DecisionStatus) -> str:
    """`Preempt because Preempting: <message> (gain 93 s, start-up 14 s)`."""
    numbers = ", ".join(f"{spoken(name)} {value}" for name, value in decision.numbers.items())
    message = f": {decision.message.rstrip('.')}" if decision.message else ""
    return f"{spoken(decision.action).capitalize()} because {decision.reason}{message}" + (f" ({numbers})" if numbers else "")


def spoken(name: str) -> str:
    """`OpenAttempt` and `openAttempt` → `open attempt`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").lower()


def predictions_table(plan: PlanStatus, title: str | None = None) -> Table:
    """What was predicted, its 80 % interval, what was measured, and by how much the prediction was off."""
    right = ("PREDICTED", "80 % LOW", "80 % HIGH", "MEASURED", "ERROR")
    table = plain_table("WHAT", *right, "SOURCE", right=right, title=title)
    for name, estimate in plan.predictions.items():
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


def rejected_lines(plan: PlanStatus) -> list[str]:
    """The families that were not chosen, and what killed them."""
    return [f"{rejected.plan}: {rejected.constraint}" for rejected in plan.rejected]


def _line(decision: DecisionStatus) -> Text:
    return Text.assemble((decision.time, "dim"), "  ", sentence(decision))


def _plain(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float(parse_quantity(text))


def _number(text: str | None, unit: str) -> str:
    if text is None:
        return NONE
    value = _plain(text)
    styles = {"B": format_bytes, "bytes": format_bytes, "s": format_duration, "seconds": format_duration}
    if unit in styles:
        return styles[unit](value)
    return f"{value:.4g}" if abs(value) < 1000 else format_count(value)
