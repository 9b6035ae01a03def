"""The in-memory cluster as an operator sees it: one snapshot, the trainers' reports scraped beside it."""

from dataclasses import dataclass, field
from datetime import datetime

from farthing.api import BudgetedTrainingJob
from farthing.api.conditions import Reason
from farthing.domain.snapshot import Attempt, JobView, NodeFacts, PoolView, Snapshot
from farthing.simulator.cluster import Cluster
from farthing.simulator.gang import Gang
from farthing.units import parse_time


@dataclass
class Scrapes:
    """What the operator remembers of the trainers: the time of the last answer, and polls in a row without one."""

    answered_at: dict[str, datetime] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)


def picture(cluster: Cluster, scrapes: Scrapes, *, native_gangs: bool) -> Snapshot:
    """The state of the cluster now."""
    attempts = [_attempt(cluster, scrapes, key) for key in cluster.records]
    attempts.sort(key=lambda each: (each.record.spec.job.uid, each.record.spec.number))
    known = {job.metadata.uid for job in cluster.jobs.values()}
    return Snapshot(
        now=cluster.clock.now(),
        jobs=tuple(_view(cluster, job, attempts) for _, job in sorted(cluster.jobs.items())),
        pools=tuple(_pool(cluster, name) for name in sorted(cluster.pools)),
        accounts=dict(cluster.accounts),
        orphans=tuple(each for each in attempts if each.record.spec.job.uid not in known and _unfinished(each)),
        namespace_labels={job.metadata.namespace or "default": {} for job in cluster.jobs.values()},
        native_gangs=native_gangs,
    )


def reachable(cluster: Cluster, gang: Gang) -> bool:
    """Whether rank 0's control port answers."""
    node = gang.pods[0].node if gang.pods else None
    up = gang.trainer is not None and gang.trainer.exit_code is None
    return up and gang.behaviour.answers and node is not None and cluster.nodes[node].reachable


def _attempt(cluster: Cluster, scrapes: Scrapes, key: str) -> Attempt:
    record, gang = cluster.records[key], cluster.gangs.get(key)
    namespace, name = key.split("/", 1)
    children = tuple(
        path.split("/", 1)[1] for path in cluster.children if path.startswith(f"{namespace}/") and path.endswith(f"/{name}")
    )
    account = cluster.accounts.get(f"{namespace}/{record.spec.account}")
    settled = account is not None and name in account.status.settled_attempts
    if gang is None:
        return Attempt(record=record, children=children, settled_on_account=settled)
    answers = reachable(cluster, gang)
    if answers:
        scrapes.answered_at[name] = cluster.clock.now()
    scrapes.missed[name] = 0 if answers or not gang.alive else scrapes.missed.get(name, 0) + 1
    return Attempt(
        record=record,
        job=gang.job,
        pods=tuple(gang.pods),
        children=children,
        progress=gang.trainer.progress() if answers and gang.trainer is not None else None,
        progress_at=scrapes.answered_at.get(name),
        unreachable_polls=scrapes.missed[name],
        settled_on_account=settled,
        unreachable_nodes=tuple(sorted({node for node in gang.occupied() if not cluster.nodes[node].reachable})),
    )


def _unfinished(attempt: Attempt) -> bool:
    return attempt.open or bool(attempt.pods or attempt.job or attempt.children)


def _view(cluster: Cluster, job: BudgetedTrainingJob, attempts: list[Attempt]) -> JobView:
    own = tuple(each for each in attempts if each.record.spec.job.uid == job.metadata.uid)
    return JobView(
        job=job,
        priority=cluster.priorities.get(job.spec.priority_class_name or "", 0),
        attempts=own,
        problems=_problems(cluster, job),
        measured_startup=_startup(own),
    )


def _problems(cluster: Cluster, job: BudgetedTrainingJob) -> tuple[tuple[str, str], ...]:
    reference = job.spec.budget.account_ref
    if reference is None or f"{job.metadata.namespace}/{reference.name}" in cluster.accounts:
        return ()
    return ((Reason.ACCOUNT_NOT_FOUND, f"budget.accountRef: no TrainingBudget {reference.name} in {job.metadata.namespace}"),)


def _startup(attempts: tuple[Attempt, ...]) -> float | None:
    for attempt in reversed(attempts):
        status = attempt.record.status
        if status.started_at is not None and status.ready_at is not None:
            return (parse_time(status.ready_at) - parse_time(status.started_at)).total_seconds()
    return None


def _pool(cluster: Cluster, name: str) -> PoolView:
    nodes = {key: node for key, node in cluster.nodes.items() if node.pool == name}
    facts = (NodeFacts(key, node.reachable, node.accelerators, cluster.free(key)) for key, node in sorted(nodes.items()))
    return PoolView(cluster.pools[name], tuple(facts))
