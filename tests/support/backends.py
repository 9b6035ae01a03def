"""Two clusters behind one face: a real API server and the simulator's memory. One suite holds for both, so that what the
simulator proves is true of the cluster."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.support.manifests import ACCOUNT, JOB, POOL, changed

from farthing.api import BudgetedTrainingJob, GPUNodePool, SpendRecord, TrainingBudget
from farthing.clock import FakeClock
from farthing.contract.names import LABEL_ATTEMPT
from farthing.domain.decision import SettleAttempt
from farthing.domain.snapshot import Attempt
from farthing.engine.manifests import Manifests
from farthing.errors import Conflict
from farthing.kube import resources as of
from farthing.kube.attempts import ClusterAttempts
from farthing.kube.books import Books, JobVersions
from farthing.kube.client import Client
from farthing.kube.facts import job_facts, pod_facts
from farthing.kube.operator_key import OperatorKey
from farthing.kube.recorder import ClusterRecorder
from farthing.kube.resources import resource_of
from farthing.simulator.cluster import Cluster
from farthing.simulator.world import InMemoryWorld


class Backend(Protocol):
    """What the suite does to a cluster beside using the ports. `attempts` and `recorder` are the ports under test."""

    attempts: Any
    recorder: Any

    async def create_job(self, **changes: Any) -> BudgetedTrainingJob: ...

    async def create_account(self, cost: str) -> None: ...

    async def edit_job(self, job: BudgetedTrainingJob) -> None: ...

    async def job(self, job: BudgetedTrainingJob) -> BudgetedTrainingJob: ...

    async def account(self) -> TrainingBudget: ...

    async def records(self) -> list[SpendRecord]: ...

    async def seen(self, record: SpendRecord) -> Attempt: ...

    async def kinds(self, made: Manifests) -> set[str]: ...

    async def pool(self) -> GPUNodePool: ...

    def new_cycle(self) -> None: ...


def bare(record: SpendRecord) -> Attempt:
    """An attempt of which only its record was seen."""
    return Attempt(record=record)


async def settle(backend: Backend, bill: SettleAttempt) -> None:
    """Settle on evidence as new as the API server's; while it changes under our hands, on the next one."""
    while True:
        with suppress(Conflict):
            return await backend.attempts.settle(bill, await backend.seen(bill.record))


@dataclass
class ClusterBackend:
    """A namespace of a real API server."""

    client: Client
    namespace: str
    clock: FakeClock
    versions: JobVersions = field(default_factory=JobVersions)

    def __post_init__(self) -> None:
        books = Books(self.client, self.versions, self.clock)
        self.attempts = ClusterAttempts(self.client, OperatorKey(b"k" * 32), books, native_gangs=True)
        self.recorder = ClusterRecorder(self.client, self.versions, self.clock)

    async def create_job(self, **changes: Any) -> BudgetedTrainingJob:
        manifest = job_manifest(self.namespace, **changes)
        return BudgetedTrainingJob.model_validate(await self.client.create(of.TRAINING_JOBS.path(self.namespace), manifest))

    async def create_account(self, cost: str) -> None:
        manifest = account_manifest(self.namespace, cost)
        await self.client.create(of.ACCOUNTS.path(self.namespace), manifest)

    async def edit_job(self, job: BudgetedTrainingJob) -> None:
        await self.client.patch(of.TRAINING_JOBS.path(self.namespace, job.metadata.name), {"spec": {"backoffLimit": 1}})

    async def job(self, job: BudgetedTrainingJob) -> BudgetedTrainingJob:
        found = await self.client.get(of.TRAINING_JOBS.path(self.namespace, job.metadata.name))
        return BudgetedTrainingJob.model_validate(found)

    async def account(self) -> TrainingBudget:
        return TrainingBudget.model_validate(await self.client.get(of.ACCOUNTS.path(self.namespace, "team-a")))

    async def records(self) -> list[SpendRecord]:
        return [SpendRecord.model_validate(each) for each in await self.client.list_items(of.RECORDS.path(self.namespace))]

    async def seen(self, record: SpendRecord) -> Attempt:
        name = record.spec.attempt
        job = await self.client.get(of.JOBS.path(self.namespace, name))
        pods = await self.client.list_items(of.PODS.path(self.namespace), selector=f"{LABEL_ATTEMPT}={name}")
        return Attempt(record=record, job=job and job_facts(job), pods=tuple(pod_facts(pod) for pod in pods))

    async def kinds(self, made: Manifests) -> set[str]:
        return {each["kind"] for each in objects(made) if await self.client.get(resource_of(each).of(each)) is not None}

    async def pool(self) -> GPUNodePool:
        return GPUNodePool.model_validate(await self.client.get(of.POOLS.path(name="slots")))

    def new_cycle(self) -> None:
        self.versions.new_cycle()


@dataclass
class MemoryBackend:
    """The simulator's cluster."""

    clock: FakeClock

    def __post_init__(self) -> None:
        self.cluster = Cluster(self.clock)
        self.cluster.pools["slots"] = GPUNodePool.model_validate(POOL)
        self.attempts = self.recorder = InMemoryWorld(self.cluster)

    async def create_job(self, **changes: Any) -> BudgetedTrainingJob:
        return self.cluster.create_job(job_manifest("default", **changes))

    async def create_account(self, cost: str) -> None:
        manifest = changed(account_manifest("default", cost), {"metadata.resourceVersion": self.cluster.next_version()})
        self.cluster.accounts["default/team-a"] = TrainingBudget.model_validate(manifest)

    async def edit_job(self, job: BudgetedTrainingJob) -> None:
        self.cluster.change_spec(f"default/{job.metadata.name}", backoffLimit=1)

    async def job(self, job: BudgetedTrainingJob) -> BudgetedTrainingJob:
        return self.cluster.jobs[f"default/{job.metadata.name}"]

    async def account(self) -> TrainingBudget:
        return self.cluster.accounts["default/team-a"]

    async def records(self) -> list[SpendRecord]:
        return list(self.cluster.records.values())

    async def seen(self, record: SpendRecord) -> Attempt:
        gang = self.cluster.gangs.get(f"default/{record.spec.attempt}")
        return Attempt(record=record) if gang is None else Attempt(record=record, job=gang.job, pods=tuple(gang.pods))

    async def kinds(self, made: Manifests) -> set[str]:
        name = made.job["metadata"]["name"]
        kinds = {path.split("/")[1] for path in self.cluster.children if path.endswith(f"/{name}")}
        if f"default/{name}" in self.cluster.records:
            kinds.add("SpendRecord")
        gang = self.cluster.gangs.get(f"default/{name}")
        return kinds | ({"Job"} if gang is not None and gang.job is not None else set())

    async def pool(self) -> GPUNodePool:
        return self.cluster.pools["slots"]

    def new_cycle(self) -> None:
        self.attempts.store.chain.clear()


def objects(made: Manifests) -> list[dict[str, Any]]:
    """Every object of a start."""
    return [made.record, made.secret, *made.children, made.job]


def job_manifest(namespace: str, **changes: Any) -> dict[str, Any]:
    """A job that keeps its checkpoints at a URI."""
    storage = {"uri": "memory://checkpoints"}
    return changed(JOB, {"metadata.namespace": namespace, "spec.checkpoint.storage": storage, **changes})


def account_manifest(namespace: str, cost: str) -> dict[str, Any]:
    """The account team-a with a limit on money."""
    return changed(ACCOUNT, {"metadata.namespace": namespace, "spec.limits": {"cost": cost}})
