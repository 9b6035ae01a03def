"""The caches → one immutable `domain.snapshot.Snapshot`. No request is made here: what the watches told is what there is."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from farthing.api import BudgetedTrainingJob, GPUNodePool, SpendRecord, TrainingBudget
from farthing.api.conditions import Reason
from farthing.contract.names import LABEL_ATTEMPT
from farthing.domain.snapshot import Attempt, JobView, NodeFacts, PodFacts, PoolView, Snapshot
from farthing.kube import facts
from farthing.kube.cache import Models
from farthing.kube.watches import Watches

log = logging.getLogger(__name__)


Pods = Mapping[str, tuple[PodFacts, ...]]


def _log_broken(key: str, error: ValidationError) -> None:
    log.error("%s cannot be read and is left alone: %s", key, error)


class Snapshots:
    """Takes pictures of the caches; keeps parsed models between them."""

    def __init__(self, watches: Watches) -> None:
        self._watches = watches
        self._jobs = Models(watches.training_jobs, BudgetedTrainingJob, _log_broken)
        self._pools = Models(watches.pools, GPUNodePool, _log_broken)
        self._accounts = Models(watches.accounts, TrainingBudget, _log_broken)
        self._records = Models(watches.records, SpendRecord, _log_broken)

    def take(self, now: datetime, *, native_gangs: bool) -> Snapshot:
        """The state of the cluster as of the newest events."""
        accounts = self._accounts.all()
        pools = self._pools.all()
        attempts = self._attempts(accounts)
        jobs = self._jobs.all()
        references = References.of(self._watches, accounts, pools.values())
        by_uid: defaultdict[str, list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            by_uid[attempt.record.spec.job.uid].append(attempt)
        known = {job.metadata.uid for job in jobs.values()}
        alone = [each for each in attempts if each.record.spec.job.uid not in known]
        return Snapshot(
            now=now,
            jobs=tuple(_view(job, by_uid.get(job.metadata.uid, ()), references) for _, job in sorted(jobs.items())),
            pools=self._pool_views(pools.values()),
            accounts=accounts,
            orphans=tuple(each for each in alone if _unfinished(each)),
            history=tuple(each for each in alone if not _unfinished(each)),
            namespace_labels={
                item["metadata"]["name"]: item["metadata"].get("labels") or {} for item in self._watches.namespaces
            },
            native_gangs=native_gangs,
        )

    def _attempts(self, accounts: Mapping[str, TrainingBudget]) -> list[Attempt]:
        """Every spend record with what is left of its children, oldest first within a job."""
        pods = pods_by_attempt(self._watches.pods)
        nodes = {item["metadata"]["name"] for item in self._watches.nodes if facts.node_reachable(item)}
        records = sorted(self._records.all().values(), key=lambda each: (each.spec.job.uid, each.spec.number))
        return [self._attempt(record, pods, nodes, accounts) for record in records]

    def _attempt(self, record: SpendRecord, pods: Pods, nodes: set[str], accounts: Mapping[str, TrainingBudget]) -> Attempt:
        key = f"{record.metadata.namespace}/{record.spec.attempt}"
        own = pods.get(key, ())
        job = self._watches.jobs.get(key)
        account = accounts.get(f"{record.metadata.namespace}/{record.spec.account}")
        return Attempt(
            record=record,
            job=facts.job_facts(job) if job else None,
            pods=own,
            children=(f"Service/{record.spec.attempt}",) if self._watches.services.get(key) else (),
            settled_on_account=account is not None and record.spec.attempt in account.status.settled_attempts,
            unreachable_nodes=tuple(sorted({pod.node for pod in own if pod.node and not pod.terminal} - nodes)),
        )

    def _pool_views(self, pools: Iterable[GPUNodePool]) -> tuple[PoolView, ...]:
        asked = _pods_by_node(self._watches.pods)
        nodes = sorted(self._watches.nodes, key=lambda item: str(item["metadata"]["name"]))
        return tuple(
            PoolView(pool, tuple(_node(item, pool, asked) for item in nodes if _belongs(item, pool)))
            for pool in sorted(pools, key=lambda each: each.metadata.name)
        )


@dataclass(frozen=True, slots=True)
class References:
    """What a job may name: accounts, claims and priority classes, and the largest node of any pool."""

    accounts: Mapping[str, TrainingBudget]
    claims: Mapping[str, Mapping[str, Any]]
    """By namespace/name."""
    storage_classes: frozenset[str]
    priorities: Mapping[str, int]
    default_priority: int
    largest_node: int

    @classmethod
    def of(cls, watches: Watches, accounts: Mapping[str, TrainingBudget], pools: Iterable[GPUNodePool]) -> "References":
        """Collect them from the caches."""
        classes = {item["metadata"]["name"]: item for item in watches.priority_classes}
        return cls(
            accounts=accounts,
            claims={f"{item['metadata']['namespace']}/{item['metadata']['name']}": item for item in watches.claims},
            storage_classes=frozenset(item["metadata"]["name"] for item in watches.storage_classes),
            priorities={name: int(item.get("value", 0)) for name, item in classes.items()},
            default_priority=max(
                (int(each.get("value", 0)) for each in classes.values() if each.get("globalDefault")), default=0
            ),
            largest_node=max((pool.spec.accelerators_per_node for pool in pools), default=0),
        )

    def priority(self, job: BudgetedTrainingJob) -> int:
        """The value of its class; the cluster's default without one."""
        return self.priorities.get(job.spec.priority_class_name or "", self.default_priority)

    def problems(self, job: BudgetedTrainingJob) -> tuple[tuple[str, str], ...]:
        """(reason, message) of each reference that does not resolve."""
        found = (self._account(job), self._claim(job), self._priority_class(job))
        return tuple((str(reason), message) for problem in found if problem is not None for reason, message in (problem,))

    def _account(self, job: BudgetedTrainingJob) -> tuple[Reason, str] | None:
        reference = job.spec.budget.account_ref
        if reference is None or f"{job.metadata.namespace}/{reference.name}" in self.accounts:
            return None
        missing = f"no TrainingBudget {reference.name} in {job.metadata.namespace}; create it, or name another one"
        return Reason.ACCOUNT_NOT_FOUND, f"budget.accountRef.name: {missing}"

    def _claim(self, job: BudgetedTrainingJob) -> tuple[Reason, str] | None:
        named = job.spec.checkpoint.storage.persistent_volume_claim
        if named is None:
            return None
        name = named.claim_name
        claim = self.claims.get(f"{job.metadata.namespace}/{name}")
        if claim is None:
            missing = f"no PersistentVolumeClaim {name} in {job.metadata.namespace}; create it, or name another one"
            return Reason.STORAGE_NOT_FOUND, f"checkpoint.storage.persistentVolumeClaim.claimName: {missing}"
        return self._without_volume(name, claim) or self._not_shared(job, name, claim)

    def _without_volume(self, name: str, claim: Mapping[str, Any]) -> tuple[Reason, str] | None:
        """A claim that no volume can ever be bound to: nobody provides its class."""
        wanted = claim["spec"].get("storageClassName")
        bound = (claim.get("status") or {}).get("phase") == "Bound"
        if bound or not wanted or wanted in self.storage_classes:
            return None
        remedy = f"claim {name} waits for StorageClass {wanted}, which there is not; create the class, or name another claim"
        return Reason.STORAGE_NOT_FOUND, f"checkpoint.storage.persistentVolumeClaim.claimName: {remedy}"

    def _not_shared(self, job: BudgetedTrainingJob, name: str, claim: Mapping[str, Any]) -> tuple[Reason, str] | None:
        """A gang of more than one node on a volume of one."""
        fewest, modes = job.spec.compute.accelerators.min, tuple(claim["spec"].get("accessModes") or ())
        if not 0 < self.largest_node < fewest or "ReadWriteMany" in modes:
            return None
        return (
            Reason.STORAGE_NOT_SHARED,
            f"checkpoint.storage: {fewest} accelerators need more than one node, and claim {name} has access "
            f"modes {', '.join(modes)}; use one with ReadWriteMany",
        )

    def _priority_class(self, job: BudgetedTrainingJob) -> tuple[Reason, str] | None:
        name = job.spec.priority_class_name
        if name is None or name in self.priorities:
            return None
        return Reason.PRIORITY_CLASS_NOT_FOUND, f"priorityClassName: no PriorityClass {name}; create it, or leave this out"


def pods_by_attempt(pods: Iterable[Mapping[str, Any]]) -> Pods:
    """Facts of our pods by namespace/attempt, in order of index and then of age: found by label, whoever owns them."""
    grouped: defaultdict[str, list[PodFacts]] = defaultdict(list)
    for pod in pods:
        attempt = (pod["metadata"].get("labels") or {}).get(LABEL_ATTEMPT)
        if attempt:
            grouped[f"{pod['metadata']['namespace']}/{attempt}"].append(facts.pod_facts(pod))
    return {key: tuple(sorted(group, key=lambda pod: (pod.index, pod.name))) for key, group in grouped.items()}


def _view(job: BudgetedTrainingJob, attempts: Iterable[Attempt], references: References) -> JobView:
    return JobView(job=job, priority=references.priority(job), attempts=tuple(attempts), problems=references.problems(job))


def _unfinished(attempt: Attempt) -> bool:
    """An orphan is worked on until its bill is settled and nothing of it is left."""
    return attempt.open or bool(attempt.pods or attempt.job or attempt.children)


def _pods_by_node(pods: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    grouped: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node and facts.occupies(pod):
            grouped[node].append(pod)
    return grouped


def _belongs(node: Mapping[str, Any], pool: GPUNodePool) -> bool:
    """The pool's selector matches and the node has accelerators of its resource."""
    labels = node["metadata"].get("labels") or {}
    chosen = all(labels.get(key) == value for key, value in pool.spec.node_selector.items())
    return chosen and facts.allocatable(node, pool.spec.resource_name) > 0


def _node(node: Mapping[str, Any], pool: GPUNodePool, asked: Mapping[str, list[Mapping[str, Any]]]) -> NodeFacts:
    name, resource = node["metadata"]["name"], pool.spec.resource_name
    pods = asked.get(name, ())
    total = facts.allocatable(node, resource)
    memory = facts.allocatable(node, "memory")
    return NodeFacts(
        name=name,
        ready=facts.node_ready(node),
        accelerators=total,
        free=max(0, total - sum(facts.pod_requests(pod, resource) for pod in pods)),
        memory_free_bytes=max(0, memory - sum(facts.pod_requests(pod, "memory") for pod in pods)) if memory else None,
    )
