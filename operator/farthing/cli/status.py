"""`farthing status`: how far jobs are and what they spent."""

import time
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.live import Live

from farthing.api import BudgetedTrainingJob
from farthing.cli.cluster import Cluster
from farthing.cli.exits import Failed
from farthing.cli.output import Format, OutputOption, console, emit, words
from farthing.cli.tables import finished, job_page, jobs_table
from farthing.clock import SystemClock

app = typer.Typer(add_completion=False)

REFRESH_SECONDS = 2.0


@app.command()
def status(
    context: typer.Context,
    job: Annotated[str | None, typer.Argument(help="One job's page; without it every job in a table.")] = None,
    every: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Jobs of every namespace.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep the view fresh until the jobs are finished.")] = False,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show state, step, loss, speed, memory, money and ETA.

    Ends with 1 where the one job that was named has failed.
    """
    with Cluster(context.obj) as cluster:
        jobs = _read(cluster, job, every)
        if watch:
            jobs = _follow(cluster, job, every)
        else:
            data = [item.to_dict() for item in jobs]
            emit(data if job is None else data[0], output, lambda: _view(jobs, job))
    if not jobs:
        words.print("no jobs here; start one with: farthing apply -f examples/stdlib-lm.yaml")
    if job is not None and jobs[0].status.state == "Failed":
        raise Failed(f"{job} has failed; see: farthing why {job}")


def _read(cluster: Cluster, name: str | None, every: bool) -> list[BudgetedTrainingJob]:
    if name is not None:
        return [cluster.job(name)]
    return cluster.jobs(None if every else cluster.namespace)


def _view(jobs: list[BudgetedTrainingJob], name: str | None) -> RenderableType:
    now = SystemClock().now()
    return jobs_table(jobs, now) if name is None else job_page(jobs[0], now)


def _follow(cluster: Cluster, name: str | None, every: bool) -> list[BudgetedTrainingJob]:
    with Live(console=console(), auto_refresh=False) as live:
        while True:
            jobs = _read(cluster, name, every)
            live.update(_view(jobs, name), refresh=True)
            if jobs and all(finished(job) for job in jobs):
                return jobs
            time.sleep(REFRESH_SECONDS)
