"""`farthing apply`: create or change jobs, pools and accounts, and wait for jobs if asked."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live

from farthing.api import BudgetedTrainingJob
from farthing.cli.cluster import Cluster
from farthing.cli.exits import Failed, NotFinished
from farthing.cli.manifests import read_manifests, resource_for
from farthing.cli.output import Format, OutputOption, emit, words
from farthing.cli.tables import finished, jobs_table, waiting_for
from farthing.clock import SystemClock
from farthing.errors import InvalidSpec
from farthing.units import parse_duration

app = typer.Typer(add_completion=False)

POLL_SECONDS = 2.0


@app.command()
def apply(
    context: typer.Context,
    file: Annotated[Path, typer.Option("--filename", "-f", help="A YAML file of one or more manifests; - is stdin.")],
    wait: Annotated[bool, typer.Option("--wait", help="Stay until its jobs are Complete or Failed.")] = False,
    timeout: Annotated[str, typer.Option(help="How long to wait at most, for example 30m; then 5 is the exit status.")] = "24h",
    output: OutputOption = Format.TABLE,
) -> None:
    """Apply manifests by server-side apply. With --wait the exit status says how the jobs ended: 0, 1, or 5 if they go on."""
    seconds = _seconds(timeout)
    manifests = read_manifests(file)
    with Cluster(context.obj) as cluster:
        applied = [apply_one(cluster, manifest) for manifest in manifests]
        names = [(item["metadata"]["name"], item["metadata"]["namespace"]) for item in applied if _is_job(item)]
        if output is not Format.TABLE:
            emit(applied, output, str)
        for name, namespace in names:
            words.print(f"follow it:  farthing -n {namespace} status {name} --watch", markup=False)
        if wait:
            wait_for(cluster, names, seconds)


def apply_one(cluster: Cluster, manifest: dict[str, Any]) -> dict[str, Any]:
    """Apply one manifest in its own or the default namespace and say what became of it; the object."""
    resource = resource_for(manifest)
    if resource.namespaced:
        manifest = {**manifest, "metadata": {"namespace": cluster.namespace, **manifest["metadata"]}}
    applied, verdict = cluster.apply(resource, manifest)
    words.print(f"{manifest['kind'].lower()}/{manifest['metadata']['name']} {verdict}", markup=False)
    return applied


def wait_for(cluster: Cluster, names: list[tuple[str, str]], seconds: float) -> None:
    """Watch jobs to their end. Raises Failed where one failed, NotFinished after `seconds`."""
    deadline = time.monotonic() + seconds
    with Live(console=words, auto_refresh=False, transient=not words.is_terminal) as live:
        while True:
            jobs = [cluster.job(name, namespace) for name, namespace in names]
            live.update(jobs_table(jobs, SystemClock().now()), refresh=True)
            if all(finished(job) for job in jobs):
                break
            if time.monotonic() > deadline:
                going = ", ".join(f"{job.metadata.name} ({job.status.state or 'Pending'})" for job in jobs if not finished(job))
                raise NotFinished(f"not finished in time: {going}")
            time.sleep(POLL_SECONDS)
    if failed := [job for job in jobs if job.status.state == "Failed"]:
        raise Failed("; ".join(_epitaph(job) for job in failed))


def _epitaph(job: BudgetedTrainingJob) -> str:
    return f"{job.metadata.name} failed: {waiting_for(job)}; see: farthing why {job.metadata.name}"


def _is_job(item: dict[str, Any]) -> bool:
    return bool(item["kind"] == "BudgetedTrainingJob")


def _seconds(timeout: str) -> float:
    try:
        return parse_duration(timeout)
    except ValueError as error:
        raise InvalidSpec("--timeout", timeout, str(error)) from error
