"""A scene of faults on the whole cluster: small jobs with money, and their bills held against the evidence."""

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import yaml
from tests.support.bills import Bill, audit, spent
from tests.support.evidence import Evidence

from farthing.api import BudgetedTrainingJob
from farthing.cli.cluster import Cluster
from farthing.cli.demo.setting import Setting
from farthing.cli.tables import finished
from farthing.contract.names import CONTROL_PORT, LABEL_ATTEMPT, LABEL_JOB, LABEL_STAGE
from farthing.kube.resources import PODS, RECORDS, TRAINING_JOBS
from farthing.local import processes
from farthing.local.cluster import LocalCluster

PATIENCE = 600.0
"""Seconds that any one thing may take on a machine that does ten others."""
POLL_SECONDS = 0.25
WORKER = ["-m", "farthing_trainer", "--config", "/etc/farthing/run/run.json"]
"""A process of a gang, as the machine sees it."""

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Closed:
    """A job whose bills are all settled and agree with the evidence."""

    job: BudgetedTrainingJob
    records: list[Manifest]
    bills: dict[str, Bill]

    @property
    def trained(self) -> list[Manifest]:
        """The records of its train attempts, oldest first."""
        return [record for record in self.records if record["spec"]["stage"] == "Train"]

    def seconds(self, record: Manifest) -> int:
        """Seconds from the first bind to the second in which the last container finished: one less than is billed."""
        return self.bills[record["spec"]["attempt"]].seconds - 1


@dataclass(slots=True)
class Scene:
    """The demo's namespace with its data prepared; `evidence` records everything that happens in it."""

    cluster: LocalCluster
    api: Cluster
    setting: Setting
    evidence: Evidence
    submitted: list[str] = field(default_factory=list)

    def submit(self, name: str, cost: str, *templates: Manifest, **spec: Any) -> str:
        """A job on one accelerator with a money limit, otherwise as the main job: its prepared data are used again.

        `templates` add to its pods (`tests.support.saboteurs`), `spec` replaces members of its spec.
        """
        manifest = yaml.safe_load((self.setting.examples / "stdlib-lm.yaml").read_text())
        manifest["metadata"] = {"name": name, "namespace": self.api.namespace}
        manifest["spec"] |= {
            "budget": {"limits": {"cost": cost}, "currency": "USD"},
            "compute": {"accelerators": {"min": 1, "max": 1}},
            "output": {"uri": f"file:///checkpoints/models/{name}"},
            **spec,
        }
        for template in templates:
            for key, entries in template.items():
                manifest["spec"]["template"].setdefault(key, []).extend(entries)
        self.api.apply(TRAINING_JOBS, manifest)
        self.submitted.append(name)
        return name

    def apply(self, *manifests: Manifest) -> None:
        """Further objects of the namespace."""
        self.cluster.kubectl("-n", self.api.namespace, "apply", "-f", "-", text=json.dumps(_listed(manifests)))

    def until(self, condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
        """The first true answer of `condition`; AssertionError that names `what` when there is none in time."""
        deadline = time.monotonic() + seconds
        while not (seen := condition()):
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            time.sleep(POLL_SECONDS)
        return seen

    def until_every_gang_is_gone(self, *records: Manifest) -> None:
        """Wait until no worker runs on this machine, whoever may know of it; AssertionError where the hard ends have passed."""
        latest = max(record["spec"]["ends"]["hard"] for record in records)
        self.until(lambda: workers() == [], "every gang to be gone", seconds=latest)

    def started(self, name: str) -> bool:
        """Whether a train attempt of the job runs, as far as the API server knows."""
        return any(pod.get("status", {}).get("phase") == "Running" for pod in self.pods(name))

    def pods(self, name: str) -> list[Manifest]:
        """The pods of a job's train attempts."""
        return self.api.every(PODS, self.api.namespace, f"{LABEL_JOB}={name},{LABEL_STAGE}=Train")

    def progress(self, name: str) -> Manifest:
        """What rank 0 of a running train attempt says of itself; empty where nobody answers."""
        addresses = [pod["status"]["podIP"] for pod in self.pods(name) if pod.get("status", {}).get("phase") == "Running"]
        if not addresses:
            return {}
        try:
            with urllib.request.urlopen(f"http://{addresses[0]}:{CONTROL_PORT}/progress", timeout=5) as answer:
                told: Manifest = json.load(answer)
        except OSError:
            return {}
        return told

    def until_it_trains(self, *names: str) -> None:
        """Wait until each job has made a few steps."""
        for name in names:
            self.until(lambda name=name: self.progress(name).get("step", 0) >= 3, f"{name} to train")

    def close(self, name: str) -> Closed:
        """Wait until a job is finished and its bills are settled, and hold them against the evidence and its limits."""
        self.until(lambda: finished(self.api.job(name)) and self._all_settled(name), f"{name} to be finished and settled")
        job, records = self.api.job(name), self.records(name)
        limits = job.spec.budget.limits.as_decimals()
        bills = audit(self.evidence, records, {str(axis): str(limit) for axis, limit in limits.items()})
        told = job.status.spent.as_decimals()
        assert {axis: Fraction(told[axis]) for axis in limits} == {axis: spent(records, axis) for axis in limits}
        return Closed(job, records, bills)

    def records(self, name: str) -> list[Manifest]:
        """The spend records of a job, as the API server has them."""
        uid = self.api.job(name).metadata.uid
        own = [each for each in self.api.every(RECORDS, self.api.namespace) if each["spec"]["job"]["uid"] == uid]
        return sorted(own, key=lambda record: record["spec"]["number"])

    def clear(self) -> None:
        """Delete every job of the scene and wait until nothing of it stands."""
        for name in self.submitted:
            self.api.delete(TRAINING_JOBS, name)
        self.until(lambda: not self.api.every(PODS, self.api.namespace, LABEL_ATTEMPT), "pods to be gone")

    def _all_settled(self, name: str) -> bool:
        return all(map(settled, self.records(name)))


def settled(record: Manifest) -> bool:
    """Whether a bill is closed; a record that was just opened has no status at all."""
    return (record.get("status") or {}).get("phase") == "Settled"


def workers() -> list[int]:
    """The processes of gangs that run on this machine, whoever may know of them."""
    return processes.find(lambda words: words[1:] == WORKER)


def _listed(manifests: tuple[Manifest, ...]) -> Manifest:
    return {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
