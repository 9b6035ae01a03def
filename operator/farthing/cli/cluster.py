"""The command line's way to a cluster: `farthing.kube`'s client behind plain calls, on one event loop of its own."""

import asyncio
import os
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import yaml

from farthing.api import BudgetedTrainingJob, GPUNodePool, SpendRecord
from farthing.cli.exits import NotFound
from farthing.cli.where import Where
from farthing.kube.client import Client
from farthing.kube.resources import PODS, POOLS, RECORDS, TRAINING_JOBS, Resource

Answer = TypeVar("Answer")

FIELD_MANAGER: Final = "farthing-cli"
IN_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Cluster:
    """A connection. Raises Unreachable, Refused, Conflict, and NotFound where an object that was named is absent."""

    def __init__(self, where: Where) -> None:
        self.namespace = where.namespace or default_namespace(where)
        self._runner = asyncio.Runner()
        self._client = self._runner.run(Client.connect(where.kubeconfig, where.context))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def job(self, name: str, namespace: str | None = None) -> BudgetedTrainingJob:
        """The job of that name."""
        found = self.find(TRAINING_JOBS, name, namespace)
        if found is None:
            raise NotFound(f"no BudgetedTrainingJob {name!r} in namespace {namespace or self.namespace!r}")
        return BudgetedTrainingJob.model_validate(found)

    def jobs(self, namespace: str | None) -> list[BudgetedTrainingJob]:
        """Every job of a namespace (None: of all), oldest first."""
        jobs = [BudgetedTrainingJob.model_validate(item) for item in self.every(TRAINING_JOBS, namespace)]
        return sorted(jobs, key=lambda job: (job.metadata.creation_timestamp or "", job.metadata.name))

    def pools(self) -> list[GPUNodePool]:
        """Every pool, by name."""
        pools = [GPUNodePool.model_validate(item) for item in self.every(POOLS, None)]
        return sorted(pools, key=lambda pool: pool.metadata.name)

    def records(self, job: BudgetedTrainingJob) -> list[SpendRecord]:
        """The spend records of a job's own UID, by attempt."""
        records = [SpendRecord.model_validate(item) for item in self.every(RECORDS, job.metadata.namespace)]
        own = [record for record in records if record.spec.job.uid == job.metadata.uid]
        return sorted(own, key=lambda record: record.spec.number)

    def find(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """The object, or None; of the default namespace unless told otherwise."""
        return self._run(self._client.get(resource.path(namespace or self.namespace, name)))

    def every(self, resource: Resource, namespace: str | None, selector: str | None = None) -> list[dict[str, Any]]:
        """Every object of a namespace, or with None of the whole cluster."""
        return list(self._run(self._client.list_items(resource.path(namespace), selector=selector)))

    def apply(self, resource: Resource, manifest: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Server-side apply; the object, and `created`, `configured` or `unchanged`."""
        metadata = manifest["metadata"]
        path = resource.path(metadata.get("namespace"), metadata["name"])
        before = self._run(self._client.get(path))
        after = self._run(self._client.patch(f"{path}?fieldManager={FIELD_MANAGER}&force=true", manifest, "apply"))
        if after is None:
            raise NotFound(f"{path}: the namespace or the resource definition is missing")
        same = before is not None and before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
        return after, "created" if before is None else "unchanged" if same else "configured"

    def patch(self, resource: Resource, item: Mapping[str, Any], change: Mapping[str, Any]) -> None:
        """Merge `change` into an object; one that is gone is left alone."""
        metadata = item["metadata"]
        self._run(self._client.patch(resource.path(metadata.get("namespace"), metadata["name"]), change))

    def delete(self, resource: Resource, name: str, namespace: str | None = None) -> None:
        """Delete in the background; what is gone already is fine."""
        self._run(self._client.delete(resource.path(namespace or self.namespace, name)))

    def log(self, pod: str, namespace: str, *, follow: bool = False, tail: int | None = None) -> Iterator[str]:
        """The lines of a pod's log, as they come where it is followed."""
        query = {"follow": "true"} if follow else {}
        query |= {"tailLines": str(tail)} if tail is not None else {}
        lines = self._client.lines(PODS.path(namespace, quote(pod)) + "/log", query)
        return self._iterate(lines)

    def _iterate(self, lines: AsyncGenerator[str, None]) -> Iterator[str]:
        try:
            while (line := self._run(anext(lines, None))) is not None:
                yield line
        finally:
            self._run(lines.aclose())

    def _run(self, question: Coroutine[Any, Any, Answer]) -> Answer:
        return self._runner.run(question)


def default_namespace(where: Where) -> str:
    """The kubeconfig context's namespace, in a pod the pod's own, else `default`."""
    file = Path(where.kubeconfig or os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or Path.home() / ".kube" / "config")
    if not file.is_file():
        return IN_POD_NAMESPACE.read_text().strip() if IN_POD_NAMESPACE.is_file() else "default"
    config = yaml.safe_load(file.read_text()) or {}
    chosen = where.context or config.get("current-context")
    contexts = {entry["name"]: entry.get("context") or {} for entry in config.get("contexts") or ()}
    return str(contexts.get(chosen, {}).get("namespace") or "default")
