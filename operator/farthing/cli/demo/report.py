"""What the demo prints at its end."""

from rich.console import Group, RenderableType
from rich.text import Text

from farthing.api import BudgetedTrainingJob, SpendRecord
from farthing.cli.demo.result import DemoResult
from farthing.cli.output import plain_table
from farthing.cli.why import page
from farthing.units import format_duration


def report(result: DemoResult, jobs: dict[str, tuple[BudgetedTrainingJob, list[SpendRecord]]]) -> RenderableType:
    """For each job its bill, its decisions and its predictions; then sample, weights, times and the conditions."""
    parts: list[RenderableType] = []
    for job, records in jobs.values():
        parts += [page(job, records), Text("")]
    if result.sample is not None:
        parts += [_heading("One sample of the finished model"), Text(result.sample.prompt + result.sample.text), Text("")]
    parts += [_weights(result), Text(""), _stages(result), Text(""), _conditions(result)]
    return Group(*parts)


def _weights(result: DemoResult) -> RenderableType:
    table = plain_table("MODEL", "VALIDATION LOSS", "BITS/BYTE", "WEIGHTS", right=("VALIDATION LOSS", "BITS/BYTE"))
    for job in result.jobs.values():
        table.add_row(job.name, f"{job.validation_loss}", f"{job.bits_per_byte}", job.weights or "–")
    return table


def _stages(result: DemoResult) -> RenderableType:
    table = plain_table("STAGE", "TOOK", right=("TOOK",))
    for stage in result.stages:
        table.add_row(stage.name, format_duration(stage.seconds))
    table.add_row("all of it", format_duration(result.seconds), style="bold")
    return table


def _conditions(result: DemoResult) -> RenderableType:
    table = plain_table("", "WHAT HAD TO BE SO", "NUMBERS")
    for condition in result.conditions:
        mark = Text("✓", style="green") if condition.holds else Text("✗", style="bold red")
        table.add_row(mark, condition.name, Text(condition.detail))
    return table


def _heading(text: str) -> Text:
    return Text(text, style="bold")
