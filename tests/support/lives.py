"""Lives of jobs in the in-memory world: builders, and the loop of cycles that an operator runs."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from farthing.api import BudgetedTrainingJob, GPUNodePool, SpendRecord, TrainingBudget
from farthing.api.conditions import Reason
from farthing.clock import FakeClock
from farthing.engine.cycle import CycleReport, cycle
from farthing.engine.planning import CachedPlanner, Planner
from farthing.planner import plan
from farthing.scheduler.policy import policy
from farthing.settings import Settings
from farthing.simulator.cluster import Cluster, Node
from farthing.simulator.world import InMemoryWorld

START = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
PERIOD = 5.0
SETTINGS = Settings()
PLANNER = CachedPlanner(plan)
FAULT = Reason.INTERNAL_ERROR

JOB: dict[str, Any] = {
    "apiVersion": "farthing.dev/v1alpha1",
    "kind": "BudgetedTrainingJob",
    "metadata": {"name": "tiny"},
    "spec": {
        "model": {"preset": "llama-1m"},
        "data": {"train": {"uri": "file:///data/*.py"}, "sequenceLength": 256, "tokenizer": {"vocabularySize": 1024}},
        "training": {"globalBatchSize": 4},
        "budget": {"limits": {"cost": "0.06"}, "currency": "USD"},
        "compute": {"accelerators": {"min": 2, "max": 2}},
        "checkpoint": {"storage": {"persistentVolumeClaim": {"claimName": "checkpoints"}}},
    },
}


def a_job(name: str = "tiny", **spec: Any) -> dict[str, Any]:
    """A job of two slots with 0.06 USD; `spec` replaces whole sections."""
    return {**JOB, "metadata": {"name": name}, "spec": {**JOB["spec"], **spec}}


def a_pool(name: str = "slots", price: str | None = "0.50", **spec: Any) -> GPUNodePool:
    """One node of two CPU slots."""
    given = {
        "accelerator": "cpu-slot",
        "acceleratorsPerNode": 1,
        "minNodes": 1,
        "maxNodes": 2,
        "resourceName": "farthing.dev/cpu-slot",
        "namespaceSelector": {},
        "rate": {"flopsPerSecond": "5e10", "memoryBytesPerSecond": "1e10"},
        "acceleratorMemory": "4Gi",
    }
    if price is not None:
        given["price"] = {"perAcceleratorHour": price, "currency": "USD", "source": "example"}
    document = {"apiVersion": "farthing.dev/v1alpha1", "kind": "GPUNodePool", "metadata": {"name": name, "generation": 1}}
    return GPUNodePool.model_validate({**document, "spec": {**given, **spec}})


def an_account(name: str = "team-a", cost: str = "1.00") -> TrainingBudget:
    """A team's account in the default namespace."""
    return TrainingBudget.model_validate(
        {
            "metadata": {"name": name, "namespace": "default", "generation": 1, "resourceVersion": "1"},
            "spec": {"limits": {"cost": cost}, "currency": "USD"},
        }
    )


def a_cluster(slots: int = 2, nodes: int = 1) -> Cluster:
    """Nodes of `slots` CPU slots each in one pool."""
    cluster = Cluster(FakeClock(START))
    cluster.pools["slots"] = a_pool(acceleratorsPerNode=slots, maxNodes=nodes)
    for index in range(nodes):
        cluster.nodes[f"node-{index}"] = Node("slots", slots)
    cluster.priorities = {"urgent": 1000, "normal": 0}
    return cluster


class Life:
    """An operator in its world, cycle after cycle."""

    def __init__(self, cluster: Cluster, *, native_gangs: bool = True, settings: Settings = SETTINGS) -> None:
        self.cluster = cluster
        self.native_gangs = native_gangs
        self.settings = settings
        self.world = InMemoryWorld(cluster, native_gangs=native_gangs)
        self.planner: Planner = PLANNER
        self.faulty = False

    async def cycle(self) -> CycleReport:
        """One pass. Fails where a fault of the operator's own was told of a job, unless `faulty`."""
        report = await cycle(self.world, policy(), self.planner, self.settings, self.cluster.clock)
        if not self.faulty:
            told = [
                each.message for job in self.cluster.jobs.values() for each in job.status.conditions if each.reason == FAULT
            ]
            assert not told, told
        return report

    async def settle_down(self, most: int = 20) -> int:
        """Cycles at one moment until one does nothing; how many did something. Fails where they never end."""
        for count in range(most):
            if (await self.cycle()).quiet:
                return count
        raise AssertionError(f"still busy after {most} cycles at one moment")

    async def run(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> bool:
        """Cycles and passing time, until the condition holds (True) or the time is over."""
        end = self.cluster.clock.now().timestamp() + seconds
        while self.cluster.clock.now().timestamp() < end:
            await self.cycle()
            if until():
                return True
            self.cluster.advance(PERIOD)
        await self.cycle()
        return until()

    def restart(self) -> None:
        """Another operator takes over, with nothing in its head."""
        events = self.world.events
        self.world = InMemoryWorld(self.cluster, native_gangs=self.native_gangs)
        self.world.events = events

    def job(self, name: str = "tiny") -> BudgetedTrainingJob:
        """The job as it stands."""
        return self.cluster.jobs[f"default/{name}"]

    def state(self, name: str = "tiny") -> str | None:
        """Its printed state."""
        return self.job(name).status.state

    def records(self, name: str = "tiny") -> list[SpendRecord]:
        """Its spend records, oldest first; also of one that is gone."""
        found = [record for record in self.cluster.records.values() if record.spec.job.name == name]
        return sorted(found, key=lambda record: (record.spec.opened_at, record.spec.number))

    def outcomes(self, name: str = "tiny") -> list[str | None]:
        """How its attempts ended."""
        return [record.status.outcome for record in self.records(name)]
