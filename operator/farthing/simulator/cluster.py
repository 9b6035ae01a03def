"""What the in-memory cluster holds, and how time passes in it. No operator here: only users, nodes, controllers, kubelets."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from farthing.api import BudgetedTrainingJob, GPUNodePool, SpendRecord, TrainingBudget
from farthing.clock import FakeClock
from farthing.simulator.gang import KILLED, LOST, Gang
from farthing.simulator.trainer import Behaviour, Durable
from farthing.units import format_time

Cascade = Literal["Background", "Foreground", "Orphan"]
"""What `kubectl delete --cascade` does with what a Job owns."""
POD_COLLECTION = timedelta(seconds=40)
"""How long a node is missing before the pods on it are given up."""


@dataclass
class Node:
    """A node of a pool; unreachable: its kubelet is out of sight, its pods run on unseen."""

    pool: str
    accelerators: int
    reachable: bool = True


@dataclass
class Cluster:
    """Objects by namespace/name (pools and nodes by name), each write with a resourceVersion of its own."""

    clock: FakeClock
    jobs: dict[str, BudgetedTrainingJob] = field(default_factory=dict)
    accounts: dict[str, TrainingBudget] = field(default_factory=dict)
    records: dict[str, SpendRecord] = field(default_factory=dict)
    pools: dict[str, GPUNodePool] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    gangs: dict[str, Gang] = field(default_factory=dict)
    history: dict[str, list[Gang]] = field(default_factory=dict)
    """Every gang there ever was, by namespace/attempt: what really happened, for who audits the books."""
    lost_nodes: dict[str, datetime] = field(default_factory=dict)
    children: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By namespace/Kind/name."""
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    """By job key; absent: a well-behaved trainer."""
    durable: dict[str, Durable] = field(default_factory=dict)
    """Newest checkpoint by job UID: storage outlives everything."""
    priorities: dict[str, int] = field(default_factory=dict)
    version: int = 0

    def next_version(self) -> str:
        """A resourceVersion that nobody had before."""
        self.version += 1
        return str(self.version)

    def create_job(self, manifest: dict[str, Any]) -> BudgetedTrainingJob:
        """A user applies a job: the server gives it a UID, a generation and a time."""
        meta = manifest["metadata"]
        given = {
            "namespace": "default",
            "generation": 1,
            "creationTimestamp": format_time(self.clock.now()),
            "uid": f"uid-{meta['name']}-{self.version}",
            "resourceVersion": self.next_version(),
        }
        job = BudgetedTrainingJob.model_validate({**manifest, "metadata": {**given, **meta}})
        self.jobs[f"{job.metadata.namespace}/{job.metadata.name}"] = job
        return job

    def change_spec(self, key: str, **fields: Any) -> None:
        """A user edits the spec: dotted paths are spelled with double underscores."""
        job = self.jobs[key]
        document = job.to_dict()
        for path, value in fields.items():
            *parents, last = path.split("__")
            target = document["spec"]
            for parent in parents:
                target = target.setdefault(parent, {})
            target[last] = value
        document["metadata"] |= {"generation": job.metadata.generation + 1, "resourceVersion": self.next_version()}
        self.jobs[key] = BudgetedTrainingJob.model_validate(document)

    def delete_job(self, key: str, *, orphan: bool = False) -> None:
        """A user deletes a job; the garbage collector follows, unless the children are orphaned."""
        job = self.jobs.pop(key, None)
        if job is None or orphan:
            return
        for name in [each for each, gang in self.gangs.items() if gang.config.job.uid == job.metadata.uid]:
            self.delete_gang(name)
            self._drop_children(*name.split("/", 1))

    def add_gang(self, name: str, gang: Gang) -> None:
        """A batch Job is POSTed; the name of one that stands is taken."""
        standing = self.gangs.get(name)
        if standing is not None and standing.job is not None:
            return
        self.gangs[name] = gang
        self.history.setdefault(name, []).append(gang)

    def delete_gang(self, name: str, cascade: Cascade = "Background") -> None:
        """The batch Job is deleted: pods get SIGTERM; those that are held stay until they are let go.

        In the foreground the Job itself stays as long as they do; orphaned pods run on and nobody owns them.
        """
        gang = self.gangs.get(name)
        if gang is None:
            return
        gang.job = replace(gang.job, deleting=True) if cascade == "Foreground" and gang.job is not None else None
        if cascade == "Orphan":
            gang.pods = [replace(pod, ownerless=True) for pod in gang.pods]
        else:
            gang.terminate(self.clock.now())
        self.collect(name)

    def collect(self, name: str) -> None:
        """A pod that is terminal and not held vanishes once its Job is gone or going."""
        gang = self.gangs.get(name)
        if gang is not None and (gang.job is None or gang.job.deleting):
            gang.pods = [pod for pod in gang.pods if pod.held or not pod.terminal]
            if not gang.pods:
                self._remember(gang)
                gang.job = None
                del self.gangs[name]

    def set_price(self, pool: str, price: str) -> None:
        """Somebody changes a pool's price."""
        document = self.pools[pool].to_dict()
        document["spec"]["price"] |= {"perAcceleratorHour": price}
        document["metadata"]["resourceVersion"] = self.next_version()
        self.pools[pool] = GPUNodePool.model_validate(document)

    def advance(self, seconds: float, step: float = 1.0) -> None:
        """Time passes, `step` seconds at once."""
        end = self.clock.now() + timedelta(seconds=seconds)
        while self.clock.now() < end:
            self.clock.advance(min(step, (end - self.clock.now()).total_seconds()))
            self._give_up_lost_nodes()
            for name in list(self.gangs):
                gang = self.gangs[name]
                gang.tick(self.clock.now(), self.place, self.sees)
                self._remember(gang)
                self.collect(name)

    def place(self, pool: str, pods: int, each: int) -> list[str] | None:
        """Seats for a whole gang, fullest nodes first; None where it does not fit."""
        free = {name: self.free(name) for name, node in self.nodes.items() if node.pool == pool and node.reachable}
        seats: list[str] = []
        for name in sorted(free, key=lambda name: (free[name], name)):
            seats += [name] * (free[name] // each)
        return seats[:pods] if len(seats) >= pods else None

    def free(self, name: str) -> int:
        """Accelerators of a node that no pod holds."""
        taken = sum(gang.occupied().count(name) * gang.config.processes_per_pod for gang in self.gangs.values())
        return self.nodes[name].accelerators - taken

    def sees(self, node: str) -> bool:
        """Whether a node is there and its kubelet reports."""
        return node in self.nodes and self.nodes[node].reachable

    def lose_node(self, name: str) -> None:
        """A machine dies for good and its node object goes with it; the pods on it are given up a while later."""
        del self.nodes[name]
        self.lost_nodes[name] = self.clock.now()
        for gang in self.gangs.values():
            if name in gang.occupied() and gang.trainer is not None:
                gang.trainer.kill(KILLED)

    def reboot_node(self, name: str) -> None:
        """A machine starts anew: what ran is gone, and the kubelet tells its own return as the end of it."""
        for gang in self.gangs.values():
            if name in gang.occupied() and gang.trainer is not None:
                gang.trainer.kill(LOST)

    def _give_up_lost_nodes(self) -> None:
        due = [name for name, at in self.lost_nodes.items() if self.clock.now() >= at + POD_COLLECTION]
        for name in due:
            for gang in self.gangs.values():
                gang.bury(name, self.clock.now())
            del self.lost_nodes[name]

    def set_reachable(self, name: str, *, reachable: bool) -> None:
        """A node's kubelet dies or comes back."""
        self.nodes[name] = replace(self.nodes[name], reachable=reachable)

    def _drop_children(self, namespace: str, attempt: str) -> None:
        gone = [path for path in self.children if path.startswith(f"{namespace}/") and path.endswith(f"/{attempt}")]
        for path in gone:
            del self.children[path]

    def _remember(self, gang: Gang) -> None:
        newest = self.durable.get(gang.config.job.uid, Durable())
        if gang.durable.step > newest.step:
            self.durable[gang.config.job.uid] = gang.durable
