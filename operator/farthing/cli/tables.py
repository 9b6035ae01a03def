"""Jobs as rows, and one job as a page. Pure: from the API's models to tables."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from farthing.api import BudgetedTrainingJob
from farthing.api.amounts import Axis
from farthing.api.conditions import ConditionType, find, is_true
from farthing.cli.output import plain_table
from farthing.units import format_count, format_duration, parse_time

NONE = "–"
"""What is not known yet."""

STATE_STYLES = {"Complete": "green", "Failed": "red", "Stalled": "red", "Running": "cyan", "Landing": "cyan"}

COLUMNS = (
    "NAMESPACE", "NAME", "STATE", "STEP", "LOSS", "TOKENS/S", "MEMORY", "SPENT", "OF", "ETA", "ACCELERATORS", "AGE",
)  # fmt: skip


def jobs_table(jobs: Sequence[BudgetedTrainingJob], now: datetime, title: str | None = None) -> Table:
    """One row a job: how far it is, what it spent, when it will be done."""
    table = plain_table(*COLUMNS, right=("STEP", "LOSS", "TOKENS/S", "MEMORY", "SPENT", "OF", "ETA"), title=title)
    for job in jobs:
        table.add_row(*job_row(job, now))
    return table


def job_row(job: BudgetedTrainingJob, now: datetime) -> tuple[RenderableType, ...]:
    """The cells of `COLUMNS`."""
    progress, allocation = job.status.progress, job.status.allocation
    state = job.status.state or "Pending"
    created = job.metadata.creation_timestamp
    return (
        job.metadata.namespace or NONE,
        job.metadata.name,
        Text(state, style=STATE_STYLES.get(state, "")),
        f"{progress.step}/{progress.last_step or '?'}" if progress else NONE,
        decimal(progress.loss, 3) if progress else NONE,
        count(progress.tokens_per_second) if progress else NONE,
        (progress.memory or NONE) if progress else NONE,
        job.status.spent_text or NONE,
        job.status.budget_text or NONE,
        (progress.eta or NONE) if progress else NONE,
        f"{allocation.pods}×{allocation.accelerators_per_pod} {allocation.pool}" if allocation else NONE,
        format_duration((now - parse_time(created)).total_seconds()) if created else NONE,
    )


def job_page(job: BudgetedTrainingJob, now: datetime) -> RenderableType:
    """Everything about one job that fits on a screen."""
    parts: list[RenderableType] = [jobs_table([job], now), Text(""), _budget_table(job)]
    parts += [Text(line) for line in _facts(job)]
    if job.status.attempts:
        parts += [Text(""), _attempts_table(job)]
    return Group(*parts)


def waiting_for(job: BudgetedTrainingJob) -> str | None:
    """Why it does not run: the message of `Stalled`, `Failed` or of a condition that is still false; None once it is done."""
    conditions = job.status.conditions
    if is_true(conditions, ConditionType.COMPLETE):
        return None
    for kind in (ConditionType.STALLED, ConditionType.FAILED, ConditionType.SUSPENDED):
        if is_true(conditions, kind) and (condition := find(conditions, kind)):
            return f"{condition.reason}: {condition.message}"
    for kind in (ConditionType.PLANNED, ConditionType.ADMITTED, ConditionType.CAPACITY_READY, ConditionType.PODS_READY):
        condition = find(conditions, kind)
        if condition is not None and condition.status != "True":
            return f"{condition.reason}: {condition.message}"
    return None


def finished(job: BudgetedTrainingJob) -> bool:
    """Whether nothing more will happen: Complete or Failed."""
    return is_true(job.status.conditions, ConditionType.COMPLETE) or is_true(job.status.conditions, ConditionType.FAILED)


def decimal(text: str | None, places: int) -> str:
    """A decimal string cut to `places`."""
    return NONE if text is None else f"{Decimal(text):.{places}f}"


def count(text: str | None) -> str:
    """A decimal string as a human count."""
    return NONE if text is None else format_count(float(text))


def _budget_table(job: BudgetedTrainingJob) -> Table:
    table = plain_table("AXIS", "LIMIT", "SPENT", "LEFT", "SHARE", right=("LIMIT", "SPENT", "LEFT", "SHARE"))
    limits = job.spec.budget.limits.as_decimals()
    spent = job.status.spent.as_decimals() if job.status.spent else {}
    for axis in Axis:
        if axis not in limits and axis not in spent:
            continue
        limit, used = limits.get(axis), spent.get(axis, Decimal(0))
        share = f"{used / limit:.1%}" if limit else NONE
        left = axis_text(axis, limit - used) if limit is not None else "unlimited"
        table.add_row(axis.value, axis_text(axis, limit), axis_text(axis, used), left, share)
    return table


def axis_text(axis: Axis, amount: Decimal | None) -> str:
    """An amount in its axis' own style: money and hours with six decimals at most, counts rounded."""
    if amount is None:
        return NONE
    if axis in (Axis.FLOPS, Axis.TOKENS):
        return format_count(float(amount))
    return f"{amount.normalize():f}"


def _facts(job: BudgetedTrainingJob) -> list[str]:
    status = job.status
    facts = []
    if (why := waiting_for(job)) is not None:
        facts.append(f"waits   {why}")
    if (plan := status.plan) is not None:
        facts.append(
            f"plan    {plan.allocation.pods}×{plan.allocation.accelerators_per_pod} {plan.allocation.accelerator} on"
            f" {plan.allocation.pool}: {plan.precision}, {plan.sharding} by {plan.grouping}, activation checkpointing"
            f" {plan.activation_checkpointing}, micro-batch {plan.micro_batch_size} × {plan.accumulation}"
        )
    if (checkpoint := status.checkpoint) is not None:
        facts.append(f"durable step {checkpoint.step} at {checkpoint.time}, {checkpoint.uri}")
    if status.output_uri:
        facts.append(f"output  {status.output_uri}")
    return ["", *facts] if facts else []


def _attempts_table(job: BudgetedTrainingJob) -> Table:
    table = plain_table("ATTEMPT", "STAGE", "FROM", "TO", "STEPS", "COST", "OUTCOME", right=("COST",))
    for attempt in job.status.attempts:
        table.add_row(
            attempt.name, attempt.stage, attempt.start_time or NONE, attempt.end_time or NONE,
            steps_text(attempt.first_step, attempt.last_step), attempt.cost or NONE, attempt.outcome or attempt.phase,
        )  # fmt: skip
    return table


def steps_text(first: int | None, last: int | None) -> str:
    """`11–40`, or a dash where no step was made."""
    return NONE if first is None or last is None else f"{first}–{last}"
