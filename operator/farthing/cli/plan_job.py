"""`farthing plan -f`: the plans of one job for what is left of its budget, as a table and as data."""

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from farthing.api import BudgetedTrainingJob, GPUNodePool
from farthing.api.amounts import METERED_AXES, Axis
from farthing.cli.cluster import Cluster
from farthing.cli.manifests import jobs_in, pools_in, read_manifests
from farthing.cli.output import plain_table
from farthing.cli.plan_numbers import prediction_data, spread
from farthing.cli.where import Where
from farthing.domain.plan import Plan, PlanSet
from farthing.errors import InvalidSpec
from farthing.kube.resources import NAMESPACES, TRAINING_JOBS
from farthing.planner import plan as search
from farthing.planner import plan_request
from farthing.planner.request import measured_startup
from farthing.units import format_bytes, parse_time

PREDICTED = (
    "step_seconds", "tokens_per_second", "startup_seconds", "checkpoint_seconds", "tokens", "seconds", "cost", "flops",
    "energy", "loss",
)  # fmt: skip
"""Members of a plan that are predictions."""


def job_and_pools(
    where: Where, file: Path, pools: Path | None, *, cluster: bool
) -> tuple[BudgetedTrainingJob, list[GPUNodePool]]:
    """The file's one job, and the pools of the files and of the cluster, if that is to be read. Raises InvalidSpec."""
    manifests = read_manifests(file)
    job = _one_job(jobs_in(manifests, str(file)), file)
    offered = pools_in([*manifests, *(read_manifests(pools) if pools else [])], str(pools or file))
    if cluster or (not offered and (where.context or where.kubeconfig)):
        job, found = _from_cluster(where, job)
        offered = [*offered, *found]
    if not offered:
        raise InvalidSpec("--pools", None, "name a file of GPUNodePools, or say --cluster for those of the current context")
    return job, offered


def plans_for(job: BudgetedTrainingJob, pools: list[GPUNodePool], now: datetime) -> PlanSet:
    """What the planner answers for what is left of the job's budget at `now`. Raises UserError."""
    _check_metered(job)
    deadline = job.spec.budget.deadline
    seconds = (parse_time(deadline) - now).total_seconds() if deadline else None
    done = int(Decimal(job.status.progress.tokens)) if job.status.progress else 0
    question = plan_request(
        job.spec,
        pools,
        remaining=remaining(job),
        seconds_left=seconds,
        tokens_done=done,
        startup_seconds=measured_startup(pools),
    )
    return search(question)


def remaining(job: BudgetedTrainingJob) -> dict[Axis, Decimal]:
    """Limits less what the status says was spent, never below nothing."""
    spent = job.status.spent.as_decimals() if job.status.spent else {}
    limits = job.spec.budget.limits.as_decimals()
    return {axis: max(limit - spent.get(axis, Decimal(0)), Decimal(0)) for axis, limit in limits.items()}


def _check_metered(job: BudgetedTrainingJob) -> None:
    """Raises InvalidSpec for a limit that stalls the job, since nobody could keep it."""
    for axis, limit in job.spec.budget.limits.as_decimals().items():
        if axis not in METERED_AXES:
            remedy = f"nothing can meter {axis} yet, so that the job would stall: use cost or acceleratorHours"
            raise InvalidSpec(f"spec.budget.limits.{axis}", f"{limit:f}", remedy, reason="UnmeteredAxis")


def page(plans: PlanSet, top: int, *, why: bool) -> RenderableType:
    """Two tables by the same numbers, what the plans buy and how they run, and under them what a reader should know."""
    right = ("MEMORY", "TOKENS/S", "COST", "TIME", "TOKENS", "LOSS")
    bought, run = plain_table("", "POOL", "GANG", *right, right=right), plain_table("", "ENDS BY", "STRATEGY")
    for rank, candidate in enumerate(plans.plans[:top], 1):
        bought.add_row(str(rank), *_cells(candidate))
        run.add_row(str(rank), candidate.binding, candidate.strategy.signature)
    lines = [
        *plans.notes,
        *(f"one more unit of {axis} changes the loss by {slope:.3g}" for axis, slope in plans.marginals.items()),
    ]
    if why:
        lines += [f"rejected {rejection}" for rejection in plans.rejections]
    return Group(bought, Text(""), run, *([Text("")] if lines else []), *(Text(line) for line in lines))


def as_data(plans: PlanSet, top: int) -> dict[str, Any]:
    """The same for programs; predictions with both ends of their interval."""
    return {
        "plans": [_as_data(candidate) for candidate in plans.plans[:top]],
        "rejections": [asdict(rejection) for rejection in plans.rejections],
        "marginals": dict(plans.marginals),
        "notes": list(plans.notes),
    }


def _cells(candidate: Plan) -> list[str]:
    where, memory = candidate.allocation, candidate.memory
    margin = memory.safe_bytes / memory.expected_bytes - 1
    return [
        where.pool, f"{where.pods}×{where.accelerators_per_pod} {where.accelerator}",
        f"{format_bytes(memory.expected_bytes)} ±{margin:.0%}", spread(candidate.tokens_per_second), spread(candidate.cost),
        spread(candidate.seconds), spread(candidate.tokens), spread(candidate.loss),
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
        "predictions": {name: prediction_data(number) for name, number in predictions.items() if number is not None},
        "binding": candidate.binding,
    }


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
