"""`farthing release`: let pods go that the ledger still holds. The chart's pre-delete hook runs it with --all."""

from typing import Annotated, Any

import typer

from farthing.cli.cluster import Cluster
from farthing.cli.drain import drain
from farthing.cli.output import words
from farthing.contract.names import FINALIZER_LEDGER, LABEL_ATTEMPT, LABEL_JOB
from farthing.errors import Conflict
from farthing.kube.resources import PODS
from farthing.settings import LeadershipSettings

app = typer.Typer(add_completion=False)

DRAIN_HELP = "First let the operator checkpoint, stop and settle every attempt and start none, for so many seconds at most."

TRIES = 10
"""A conflict means that somebody else wrote the pod: it is read again, this often at most."""


@app.command()
def release(
    context: typer.Context,
    job: Annotated[str | None, typer.Argument(help="A job of the namespace, also one that is deleted already.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every attempt's pods in the whole cluster.")] = False,
    first: Annotated[float, typer.Option("--drain", min=0, help=DRAIN_HELP)] = 0.0,
    lease: Annotated[str, typer.Option(help="The operator's Lease, in its own namespace (-n).")] = LeadershipSettings().name,
) -> None:
    """Drop the ledger's finalizer from pods, so that they can go although no operator settles their bill.

    Bills that are open then are settled by bounds once an operator runs again; --drain closes them before.
    """
    if (job is None) == (not every):
        raise typer.BadParameter("name one job, or say --all")
    if first and not every:
        raise typer.BadParameter(
            "--drain stops the attempts of all jobs: say --all with it, or suspend one job with spec.suspend"
        )
    with Cluster(context.obj) as cluster:
        if first:
            words.print(drain(cluster, lease, cluster.namespace, first))
        selector = LABEL_ATTEMPT if every else f"{LABEL_JOB}={job}"
        held = [pod for pod in cluster.every(PODS, None if every else cluster.namespace, selector) if _held(pod)]
        for pod in held:
            let_go(cluster, pod)
    words.print(f"{len(held)} pods let go")


def let_go(cluster: Cluster, pod: dict[str, Any]) -> None:
    """Take the finalizer off one pod; a pod that is gone meanwhile is fine. Raises Conflict after TRIES lost races."""
    found: dict[str, Any] | None = pod
    for left in reversed(range(TRIES)):
        if found is None or not _held(found):
            return
        try:
            cluster.patch(PODS, found, _without_ledger(found["metadata"]))
            return
        except Conflict:
            if left == 0:
                raise
        found = cluster.find(PODS, found["metadata"]["name"], found["metadata"]["namespace"])


def _without_ledger(metadata: dict[str, Any]) -> dict[str, Any]:
    # A merge replaces the list whole: the resourceVersion makes a race a Conflict.
    others = [name for name in metadata["finalizers"] if name != FINALIZER_LEDGER]
    return {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": others}}


def _held(pod: dict[str, Any]) -> bool:
    return FINALIZER_LEDGER in (pod["metadata"].get("finalizers") or ())
