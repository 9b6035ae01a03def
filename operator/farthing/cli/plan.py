"""`farthing plan`: what a job would buy, by every way of running it, before anything is spent."""

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from farthing.api import BudgetedTrainingJob, GPUNodePool
from farthing.api.amounts import Axis
from farthing.cli.cluster import Cluster
from farthing.cli.manifests import jobs_in, pools_in, read_manifests
from farthing.cli.output import Format, OutputOption, emit, plain_table
from farthing.cli.tables import NONE
from farthing.cli.where import Where
from farthing.clock import SystemClock
from farthing.domain.plan import Plan, PlanSet, Prediction
from farthing.errors import InvalidSpec, NoPlan
from farthing.kube.resources import NAMESPACES, TRAINING_JOBS
from farthing.planner import plan as search
from farthing.planner import plan_request, refusal
from farthing.units import format_bytes, format_count, format_duration, parse_time

app = typer.Typer(add_completion=False)

INTERVAL = 0.9
"""± reaches from the median to this quantile: an 80 % interval, as in a job's status."""

PREDICTED = (
    "step_seconds", "tokens_per_second", "startup_seconds", "checkpoint_seconds", "tokens", "seconds", "cost", "flops", "loss",
)  # fmt: skip
"""Members of a plan that are predictions."""


@app.command()
def plan(
    context: typer.Context,
    file: Annotated[Path, typer.Option("--filename", "-f", help="A manifest of one job; pools may stand beside it.")],
    pools: Annotated[Path | None, typer.Option(help="Manifests of pools; then no cluster is read.")] = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Pools, and what the job spent, from the current context.")
    ] = False,
    top: Annotated[int, typer.Option(min=1, help="Plans to show.")] = 5,
    why: Annotated[bool, typer.Option("--why", help="Also the plans that cannot be used, and by how much.")] = False,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show the best plans with memory, speed, cost, time and loss, each ± its 80 % interval. Spends nothing.

    No cluster is read unless --cluster, --context or --kubeconfig says so. Ends with 1 where no plan fits.
    """
    manifests = read_manifests(file)
    job = _one_job(jobs_in(manifests, str(file)), file)
    offered = pools_in([*manifests, *(read_manifests(pools) if pools else [])], str(pools or file))
    asked: Where = context.obj
    if cluster or (not offered and (asked.context or asked.kubeconfig)):
        job, found = _from_cluster(asked, job)
        offered = [*offered, *found]
    if not offered:
        raise InvalidSpec("--pools", None, "name a file of GPUNodePools, or say --cluster for those of the current context")
    plans = plans_for(job, offered, SystemClock().now())
    if plans.best is None:
        raise NoPlan(refusal(plans))
    emit(as_data(plans, top), output, lambda: page(plans, top, why=why))


def plans_for(job: BudgetedTrainingJob, pools: list[GPUNodePool], now: datetime) -> PlanSet:
    """What the planner answers for what is left of the job's budget at `now`. Raises UserError."""
    deadline = job.spec.budget.deadline
    seconds = (parse_time(deadline) - now).total_seconds() if deadline else None
    done = int(Decimal(job.status.progress.tokens)) if job.status.progress else 0
    return search(plan_request(job.spec, pools, remaining=remaining(job), seconds_left=seconds, tokens_done=done))


def remaining(job: BudgetedTrainingJob) -> dict[Axis, Decimal]:
    """Limits less what the status says was spent, never below nothing."""
    spent = job.status.spent.as_decimals() if job.status.spent else {}
    limits = job.spec.budget.limits.as_decimals()
    return {axis: max(limit - spent.get(axis, Decimal(0)), Decimal(0)) for axis, limit in limits.items()}


def page(plans: PlanSet, top: int, *, why: bool) -> RenderableType:
    """The table of the best plans, and under it what a reader should know."""
    right = ("MEMORY", "TOKENS/S", "COST", "TIME", "TOKENS", "LOSS")
    table = plain_table("", "POOL", "GANG", *right, "ENDS BY", "STRATEGY", right=right)
    for rank, candidate in enumerate(plans.plans[:top], 1):
        table.add_row(str(rank), *_cells(candidate))
    lines = [
        *plans.notes,
        *(f"one more unit of {axis} changes the loss by {slope:.3g}" for axis, slope in plans.marginals.items()),
    ]
    if why:
        lines += [f"rejected {rejection}" for rejection in plans.rejections]
    return Group(table, *(Text(line) for line in lines))


def as_data(plans: PlanSet, top: int) -> dict[str, Any]:
    """The same for programs; predictions with both ends of their interval."""
    return {
        "plans": [_as_data(candidate) for candidate in plans.plans[:top]],
        "rejections": [asdict(rejection) for rejection in plans.rejections],
        "marginals": dict(plans.marginals),
        "notes": list(plans.notes),
    }


def spread(number: Prediction | None) -> str:
    """`7.1k ±35%`; a dash where nothing is predicted."""
    if number is None:
        return NONE
    value = format_duration(number.value) if number.unit == "s" else format_count(number.value)
    return f"{value} ±{number.quantile(INTERVAL) / number.value - 1:.0%}" if number.value else value


def _cells(candidate: Plan) -> list[str]:
    where, memory = candidate.allocation, candidate.memory
    margin = memory.safe_bytes / memory.expected_bytes - 1
    return [
        where.pool, f"{where.pods}×{where.accelerators_per_pod} {where.accelerator}",
        f"{format_bytes(memory.expected_bytes)} ±{margin:.0%}", spread(candidate.tokens_per_second), spread(candidate.cost),
        spread(candidate.seconds), spread(candidate.tokens), spread(candidate.loss), candidate.binding,
        candidate.strategy.signature,
    ]  # fmt: skip


def _as_data(candidate: Plan) -> dict[str, Any]:
    predictions = {name: getattr(candidate, name) for name in PREDICTED}
    memory = candidate.memory
    return {
        "allocation": asdict(candidate.allocation),
        "strategy": asdict(candidate.strategy),
        "memory": {
            "expectedBytes": memory.expected_bytes,
            "safeBytes": memory.safe_bytes,
            "peakPhase": memory.peak_phase,
            "terms": {phase: dict(terms) for phase, terms in memory.terms.items()},
            "requestBytes": candidate.memory_request_bytes,
        },
        "predictions": {name: _prediction(number) for name, number in predictions.items() if number is not None},
        "binding": candidate.binding,
    }


def _prediction(number: Prediction) -> dict[str, Any]:
    low, high = number.quantile(1 - INTERVAL), number.quantile(INTERVAL)
    return {"value": number.value, "low": low, "high": high, "unit": number.unit, "source": number.source}


def _one_job(jobs: list[BudgetedTrainingJob], file: Path) -> BudgetedTrainingJob:
    if len(jobs) != 1:
        raise InvalidSpec("-f", str(file), f"plan wants one BudgetedTrainingJob, and there are {len(jobs)}")
    return jobs[0]


def _from_cluster(where: Where, job: BudgetedTrainingJob) -> tuple[BudgetedTrainingJob, list[GPUNodePool]]:
    """The job with what it spent already, if it is there, and the pools that its namespace may use."""
    with Cluster(where) as cluster:
        namespace = job.metadata.namespace or cluster.namespace
        found = cluster.find(TRAINING_JOBS, job.metadata.name, namespace)
        if found is not None:
            job = job.model_copy(update={"status": BudgetedTrainingJob.model_validate(found).status})
        labels = ((cluster.find(NAMESPACES, namespace) or {}).get("metadata") or {}).get("labels") or {}
        pools = [
            pool for pool in cluster.pools() if pool.spec.namespace_selector and pool.spec.namespace_selector.matches(labels)
        ]
        return job, pools
