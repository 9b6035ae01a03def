"""`farthing logs`: what the workers print."""

from typing import Annotated, Any

import typer

from farthing.cli.cluster import Cluster
from farthing.cli.exits import NotFound
from farthing.cli.output import words
from farthing.contract.names import LABEL_ATTEMPT, LABEL_JOB_UID
from farthing.kube.facts import INDEX
from farthing.kube.resources import PODS

app = typer.Typer(add_completion=False)


@app.command()
def logs(
    context: typer.Context,
    job: str,
    attempt: Annotated[str | None, typer.Option(help="An attempt's name or number; default: the newest.")] = None,
    worker: Annotated[int, typer.Option(help="The pod's index in the gang.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the worker ends.")] = False,
    tail: Annotated[int | None, typer.Option(help="The last lines only.")] = None,
) -> None:
    """Print the log of one worker. Pods of settled attempts are gone, and their logs with them; the spend record stays."""
    with Cluster(context.obj) as cluster:
        found = cluster.job(job)
        namespace = found.metadata.namespace or cluster.namespace
        pods = cluster.every(PODS, namespace, f"{LABEL_JOB_UID}={found.metadata.uid}")
        pod = choose(pods, attempt, worker)
        if pod is None:
            which = f"attempt {attempt or 'newest'}, worker {worker}"
            raise NotFound(f"no pod of {job} ({which}): settled attempts leave none")
        words.print(f"{pod} in {namespace}", markup=False)
        for line in cluster.log(pod, namespace, follow=follow, tail=tail):
            print(line, flush=follow)


def choose(pods: list[dict[str, Any]], attempt: str | None, worker: int) -> str | None:
    """The name of the pod with that index in that attempt (name or number; None: the newest), or None."""
    matching = [pod for pod in pods if attempt is None or _attempt(pod) == attempt or str(_number(pod)) == attempt]
    newest = max((_number(pod) for pod in matching), default=0)
    names = [pod["metadata"]["name"] for pod in matching if _number(pod) == newest and _index(pod) == worker]
    return min(names, default=None)


def _attempt(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["labels"].get(LABEL_ATTEMPT, ""))


def _number(pod: dict[str, Any]) -> int:
    last = _attempt(pod).rpartition("-")[2]
    return int(last) if last.isdigit() else 0


def _index(pod: dict[str, Any]) -> int:
    metadata = pod["metadata"]
    text = metadata.get("annotations", {}).get(INDEX) or metadata["labels"].get(INDEX) or "0"
    return int(text)
