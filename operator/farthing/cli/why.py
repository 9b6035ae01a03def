"""`farthing why`: every decision about a job, the plan and those that lost, predictions beside measurements, the bill."""

from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from farthing.api import BudgetedTrainingJob, SpendRecord
from farthing.cli.bill import bill_table
from farthing.cli.cluster import Cluster
from farthing.cli.output import Format, OutputOption, emit
from farthing.cli.predictions import estimates, predictions_table
from farthing.cli.sentences import decision_lines, rejected_lines
from farthing.cli.tables import waiting_for
from farthing.engine.opening import plan_of, taught

app = typer.Typer(add_completion=False)


@app.command()
def why(context: typer.Context, job: str, output: OutputOption = Format.TABLE) -> None:
    """Say why a job is where it is: decisions in order with their numbers, the plan, and what the time was spent on."""
    with Cluster(context.obj) as cluster:
        found = cluster.job(job)
        records = cluster.records(found)
    emit(explanation(found, records), output, lambda: page(found, records))


def explanation(job: BudgetedTrainingJob, records: list[SpendRecord]) -> dict[str, Any]:
    """The page as data."""
    return {
        "job": f"{job.metadata.namespace}/{job.metadata.name}",
        "state": job.status.state,
        "waitsFor": waiting_for(job),
        "decisions": [decision.to_dict() for decision in job.status.decisions],
        "plan": job.status.plan.to_dict() if job.status.plan else None,
        "predictions": {name: each.to_dict() for name, each in estimates(job.status.plan, records).items()},
        "corrections": corrections(records),
        "spendRecords": [{"spec": record.spec.to_dict(), "status": record.status.to_dict()} for record in records],
    }


def corrections(records: Sequence[SpendRecord]) -> dict[str, str]:
    """By train attempt: how measurements changed what the formulas said of its plan, and whose they are."""
    plans = {record.spec.attempt: plan_of(record) for record in records if record.spec.stage == "Train"}
    return {attempt: words for attempt, plan in plans.items() if plan is not None and (words := taught(plan))}


def page(job: BudgetedTrainingJob, records: list[SpendRecord]) -> RenderableType:
    """The page for people."""
    parts: list[RenderableType] = [_heading(f"Decisions about {job.metadata.name} ({job.status.state or 'Pending'})")]
    parts += decision_lines(job.status.decisions) or [Text("none yet")]
    if (reason := waiting_for(job)) is not None:
        parts.append(Text(f"it waits: {reason}"))
    if job.status.plan is not None:
        parts += [Text(""), predictions_table(estimates(job.status.plan, records), "Predicted and measured")]
        if rejected := rejected_lines(job.status.plan):
            parts += [Text(""), _heading("Plans that lost"), *(Text(line) for line in rejected)]
    if corrected := corrections(records):
        lines = (Text(f"{attempt}: {words}") for attempt, words in corrected.items())
        parts += [Text(""), _heading("Planned with what was measured before"), *lines]
    if records:
        parts += [Text(""), bill_table(records, "Bill, and the seconds that trained nothing")]
    return Group(*parts)


def _heading(text: str) -> Text:
    return Text(text, style="bold")
