"""`farthing size`: how many nodes of which pool a set of jobs wants, for how long, and what one node more would bring."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from farthing.api import BudgetedTrainingJob, GPUNodePool
from farthing.cli.exits import Exit
from farthing.cli.manifests import jobs_in, pools_in, read_manifests
from farthing.cli.output import Format, OutputOption, emit, plain_table
from farthing.cli.plan_job import plans_for
from farthing.cli.plan_pools import money
from farthing.cli.tables import NONE
from farthing.clock import SystemClock
from farthing.domain.plan import Plan
from farthing.errors import InvalidSpec, UserError
from farthing.planner import refusal
from farthing.planner.sizing import LOOKS
from farthing.planner.sizing_options import Demand, demand
from farthing.planner.sizing_plan import Placement
from farthing.planner.sizing_pools import NodeMore, PoolSize, Sizing, size_pools
from farthing.units import SECONDS_PER_HOUR, format_count, format_duration, parse_time

app = typer.Typer(add_completion=False)

NAMED = 3
"""Jobs that a cell names before it only counts."""
LEAST_LOSS, LEAST_SECONDS, LEAST_COST = 0.0005, 1.0, 0.005
"""Smaller gains (nats, seconds, currency) are not worth a word."""


class Question:
    """Jobs and pools of the files, and the answer to how they fit each other."""

    def __init__(self, jobs: Sequence[BudgetedTrainingJob], pools: Sequence[GPUNodePool], now: datetime) -> None:
        """Plans every job, twice: on the pools as they are, and on pools of one node more. Raises InvalidSpec."""
        self.pools = {pool.metadata.name: pool for pool in pools}
        if len(self.pools) != len(pools):
            raise InvalidSpec("metadata.name", sorted(pool.metadata.name for pool in pools), "name every pool once")
        self.unplanned: dict[str, str] = {}
        self.demands: dict[str, Demand] = {}
        for job in jobs:
            name = key(job)
            if name in self.demands or name in self.unplanned:
                raise InvalidSpec("metadata.name", name, "name every job of a namespace once")
            self._add(name, job, now)

    def sized(self, budget: str | None) -> Sizing:
        """The answer. `budget`: of all jobs together, as `500usd`. Raises InvalidSpec, MissingPrice."""
        nodes = {name: pool.spec.max_nodes for name, pool in self.pools.items()}
        common = None if budget is None else self._common(budget)
        return size_pools(list(self.demands.values()), nodes, budget=common, limit=LOOKS)

    def _common(self, budget: str) -> float:
        """The budget's amount, where its currency is that of every price."""
        amount, currency = money("--budget", budget)
        priced = {name for name in map(self.currency, self.pools) if name}
        if len(priced | ({currency} if currency else set())) > 1:
            remedy = (
                f"the pools are priced in {', '.join(sorted(priced))}: write the budget, and price the pools, in one currency"
            )
            raise InvalidSpec("--budget", budget, remedy)
        return float(amount)

    def currency(self, pool: str) -> str:
        """Of that pool's price, or nothing."""
        price = self.pools[pool].spec.price
        return "" if price is None else price.currency

    def behind(self, placement: Placement) -> Plan:
        """The plan by which a placed job runs."""
        return self.demands[placement.job].plans[placement.option]

    def _add(self, name: str, job: BudgetedTrainingJob, now: datetime) -> None:
        pools = list(self.pools.values())
        try:
            found = plans_for(job, pools, now)
            wider = plans_for(job, [_raised(pool) for pool in pools], now)
        except UserError as error:
            self.unplanned[name] = str(error)
            return
        plans = [*found.plans, *(plan for plan in wider.plans if self._only_with_more(plan))]
        if not plans:
            self.unplanned[name] = refusal(found)
            return
        per_node = {pool: each.spec.accelerators_per_node for pool, each in self.pools.items()}
        deadline = job.spec.budget.deadline
        seconds = None if deadline is None else (parse_time(deadline) - now).total_seconds()
        self.demands[name] = demand(name, plans, per_node, deadline_seconds=seconds)

    def _only_with_more(self, plan: Plan) -> bool:
        spec = self.pools[plan.allocation.pool].spec
        return plan.allocation.accelerators > spec.max_nodes * spec.accelerators_per_node


@app.command()
def size(
    file: Annotated[Path, typer.Option("--filename", "-f", help="Manifests of jobs; pools may stand beside them.")],
    pools: Annotated[Path | None, typer.Option(help="Manifests of pools; maxNodes is what each may have.")] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="MONEY", help="Of all jobs together, for example 500usd; absent: each has its own.")
    ] = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show how many nodes of which pool a set of jobs wants, for how long, and what one node more would bring. Spends nothing.

    Every job keeps its own budget and deadline. Reads no cluster. Ends with 1 where a job does not fit.
    """
    manifests = read_manifests(file)
    jobs = jobs_in(manifests, str(file))
    offered = pools_in([*manifests, *(read_manifests(pools) if pools else [])], str(pools or file))
    if not jobs:
        raise InvalidSpec("-f", str(file), "size wants at least one BudgetedTrainingJob")
    if not offered:
        raise InvalidSpec("--pools", None, "name a file of GPUNodePools")
    question = Question(jobs, offered, SystemClock().now())
    sizing = question.sized(budget)
    emit(as_data(question, sizing), output, lambda: page(question, sizing))
    if unfit(question, sizing):
        raise typer.Exit(Exit.FAILED)


def key(job: BudgetedTrainingJob) -> str:
    """`namespace/name`, or the name alone where the manifest has no namespace."""
    return "/".join(part for part in (job.metadata.namespace, job.metadata.name) if part)


def unfit(question: Question, sizing: Sizing) -> dict[str, str]:
    """Jobs without a place, and why."""
    return {**question.unplanned, **sizing.plan.unplaced}


def page(question: Question, sizing: Sizing) -> RenderableType:
    """Pools, jobs, and what does not fit."""
    lines = [f"{name} does not fit: {why}" for name, why in unfit(question, sizing).items()]
    if not sizing.plan.exact:
        lines.append("the best found: there were more ways to place these jobs than were looked at")
    return Group(_pools_table(question, sizing), Text(""), _jobs_table(question, sizing), Text(""), *map(Text, lines))


def as_data(question: Question, sizing: Sizing) -> dict[str, Any]:
    """The same for programs. Seconds count from now."""
    return {
        "pools": [_pool_data(question, each) for each in sizing.pools.values()],
        "jobs": [_job_data(question, each) for each in sizing.plan.placements],
        "unfit": unfit(question, sizing),
        "exact": sizing.plan.exact,
    }


def more_text(more: NodeMore, currency: str) -> str:
    """What one node more brings, in words: jobs, loss, hours, money; `nothing` where it would stay idle."""
    starts = [name for name in more.at_once if name not in more.placed]
    told = [
        f"runs {_names(more.placed)}" if more.placed else "",
        f"starts {_names(starts)} at once" if starts else "",
        "" if abs(more.loss) < LEAST_LOSS else f"loss {-more.loss:+.3f} nats",
        _seconds_text(more.seconds),
        "" if abs(more.cost) < LEAST_COST else f"costs {cost_text(-more.cost, currency, sign=True)}",
    ]
    return ", ".join(each for each in told if each) or "nothing"


def cost_text(amount: float | None, currency: str, *, sign: bool = False) -> str:
    """`12.30 USD`; a dash where no price is known."""
    if amount is None:
        return NONE
    plus = "+" if sign else ""
    return f"{amount:{plus}.2f} {currency}".strip() if abs(amount) >= 1 else f"{amount:{plus}.3g} {currency}".strip()


def _seconds_text(seconds: float) -> str:
    if abs(seconds) < LEAST_SECONDS:
        return ""
    return f"ends {format_duration(abs(seconds))} {'sooner' if seconds > 0 else 'later'} in all"


def _names(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _pools_table(question: Question, sizing: Sizing) -> Table:
    right = ("NODES", "OF", "FOR", "NODE-HOURS", "JOBS", "COST")
    table = plain_table("POOL", *right, "ONE NODE MORE", right=right)
    for name, each in sizing.pools.items():
        currency = question.currency(name)
        table.add_row(
            name, str(each.peak), str(each.limit), format_duration(each.seconds), f"{each.node_seconds / SECONDS_PER_HOUR:.1f}",
            str(len(each.jobs)), cost_text(each.cost, currency), more_text(each.more, currency),
        )  # fmt: skip
    return table


def _jobs_table(question: Question, sizing: Sizing) -> Table:
    right = ("NODES", "STARTS IN", "START-UP", "ENDS IN", "COST", "TOKENS", "LOSS")
    table = plain_table("JOB", "POOL", "GANG", *right, "STRATEGY", right=right)
    for each in sizing.plan.placements:
        plan, option = question.behind(each), each.option
        table.add_row(
            each.job, option.pool, f"{plan.allocation.pods}×{plan.allocation.accelerators_per_pod}", f"{option.nodes:.3g}",
            format_duration(each.start_seconds), format_duration(option.startup_seconds), format_duration(each.end_seconds),
            cost_text(option.cost, question.currency(option.pool)), format_count(plan.tokens.value),
            NONE if plan.loss is None else f"{plan.loss.value:.3f}", plan.strategy.signature,
        )  # fmt: skip
    return table


def _pool_data(question: Question, each: PoolSize) -> dict[str, Any]:
    return {
        "pool": each.pool,
        "nodes": each.peak,
        "nodesNow": each.now,
        "limit": each.limit,
        "seconds": each.seconds,
        "nodeHours": each.node_seconds / SECONDS_PER_HOUR,
        "jobs": list(each.jobs),
        "cost": each.cost,
        "currency": question.currency(each.pool) or None,
        "oneNodeMore": {
            "places": list(each.more.placed),
            "startsAtOnce": list(each.more.at_once),
            "lossSaved": each.more.loss,
            "secondsSaved": each.more.seconds,
            "costSaved": each.more.cost,
        },
    }


def _job_data(question: Question, each: Placement) -> dict[str, Any]:
    plan, option = question.behind(each), each.option
    return {
        "job": each.job,
        "allocation": asdict(plan.allocation),
        "nodes": option.nodes,
        "startSeconds": each.start_seconds,
        "startupSeconds": option.startup_seconds,
        "startupSource": plan.startup_seconds.source,
        "endSeconds": each.end_seconds,
        "cost": option.cost,
        "tokens": plan.tokens.value,
        "loss": None if plan.loss is None else plan.loss.value,
        "strategy": plan.strategy.signature,
    }


def _raised(pool: GPUNodePool) -> GPUNodePool:
    """The pool with one node more."""
    return pool.model_copy(update={"spec": pool.spec.model_copy(update={"max_nodes": pool.spec.max_nodes + 1})})
