"""What an operator sees: its caches as one snapshot, and the trainers' reports, which it asks for itself, beside them."""

from dataclasses import dataclass, field
from datetime import datetime

from farthing.api import BudgetedTrainingJob, SpendRecord
from farthing.api.conditions import Reason
from farthing.contract.progress import Progress
from farthing.domain.snapshot import Attempt, JobView, NodeFacts, PoolView, Snapshot
from farthing.simulator.cluster import Cluster, Node
from farthing.simulator.gang import Gang
from farthing.simulator.watches import Seen


@dataclass
class Scrapes:
    """What the operator remembers of the trainers: the last answer, its time, and polls in a row without one."""

    progress: dict[str, Progress] = field(default_factory=dict)
    answered_at: dict[str, datetime] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Eyes:
    """One look of an operator: its caches, its clock, and what it asks the trainers of the real cluster."""

    seen: Seen
    cluster: Cluster
    scrapes: Scrapes
    now: datetime
    native_gangs: bool


def picture(eyes: Eyes) -> Snapshot:
    """The state of the cluster, as far as it is seen."""
    seen = eyes.seen
    attempts = [_attempt(eyes, key, record) for key, record in seen.records.items()]
    attempts.sort(key=lambda each: (each.record.spec.job.uid, each.record.spec.number))
    known = {job.metadata.uid for job in seen.jobs.values()}
    alone = [each for each in attempts if each.record.spec.job.uid not in known]
    return Snapshot(
        now=eyes.now,
        jobs=tuple(_view(eyes, job, attempts) for _, job in sorted(seen.jobs.items())),
        pools=tuple(_pool(eyes, name) for name in sorted(seen.pools)),
        accounts=dict(seen.accounts),
        orphans=tuple(each for each in alone if _unfinished(each)),
        history=tuple(each for each in alone if not _unfinished(each)),
        namespace_labels={job.metadata.namespace or "default": {} for job in seen.jobs.values()},
        native_gangs=eyes.native_gangs,
    )


def reachable(cluster: Cluster, gang: Gang) -> bool:
    """Whether rank 0's control port answers."""
    node = gang.pods[0].node if gang.pods else None
    up = gang.trainer is not None and gang.trainer.exit_code is None
    return up and gang.behaviour.answers and node is not None and cluster.sees(node)


def _attempt(eyes: Eyes, key: str, record: SpendRecord) -> Attempt:
    seen, scrapes = eyes.seen, eyes.scrapes
    namespace, name = key.split("/", 1)
    pods = seen.pods.get(key, ())
    if record.status.phase == "Open":
        _ask(eyes, key, name, running=any(pod.bound_at is not None and not pod.terminal for pod in pods))
    account = seen.accounts.get(f"{namespace}/{record.spec.account}")
    return Attempt(
        record=record,
        job=seen.batch.get(key),
        pods=pods,
        children=tuple(
            path.split("/", 1)[1] for path in seen.children if path.startswith(f"{namespace}/") and path.endswith(f"/{name}")
        ),
        progress=scrapes.progress.get(name),
        progress_at=scrapes.answered_at.get(name),
        unreachable_polls=scrapes.missed.get(name, 0),
        settled_on_account=account is not None and name in account.status.settled_attempts,
        unreachable_nodes=tuple(
            sorted({pod.node for pod in pods if pod.node and not pod.terminal and not _ready(seen.nodes.get(pod.node))})
        ),
    )


def _ask(eyes: Eyes, key: str, name: str, *, running: bool) -> None:
    """GET /progress of an attempt that seems to run; an answer is remembered."""
    gang, scrapes = eyes.cluster.gangs.get(key), eyes.scrapes
    if running and gang is not None and gang.trainer is not None and reachable(eyes.cluster, gang):
        scrapes.progress[name] = gang.trainer.progress()
        scrapes.answered_at[name] = eyes.now
        scrapes.missed[name] = 0
    elif running:
        scrapes.missed[name] = scrapes.missed.get(name, 0) + 1


def _ready(node: Node | None) -> bool:
    return node is not None and node.reachable


def _unfinished(attempt: Attempt) -> bool:
    return attempt.open or bool(attempt.pods or attempt.job or attempt.children)


def _view(eyes: Eyes, job: BudgetedTrainingJob, attempts: list[Attempt]) -> JobView:
    return JobView(
        job=job,
        priority=eyes.cluster.priorities.get(job.spec.priority_class_name or "", 0),
        attempts=tuple(each for each in attempts if each.record.spec.job.uid == job.metadata.uid),
        problems=_problems(eyes.seen, job),
    )


def _problems(seen: Seen, job: BudgetedTrainingJob) -> tuple[tuple[str, str], ...]:
    reference = job.spec.budget.account_ref
    if reference is None or f"{job.metadata.namespace}/{reference.name}" in seen.accounts:
        return ()
    return ((Reason.ACCOUNT_NOT_FOUND, f"budget.accountRef: no TrainingBudget {reference.name} in {job.metadata.namespace}"),)


def _pool(eyes: Eyes, name: str) -> PoolView:
    nodes = {key: node for key, node in eyes.seen.nodes.items() if node.pool == name}
    facts = (NodeFacts(key, node.reachable, node.accelerators, _free(eyes, key, node)) for key, node in sorted(nodes.items()))
    return PoolView(eyes.seen.pools[name], tuple(facts))


def _free(eyes: Eyes, name: str, node: Node) -> int:
    """Accelerators that no pod in sight holds."""
    taken = sum(
        eyes.cluster.history[key][-1].config.processes_per_pod
        for key, pods in eyes.seen.pods.items()
        for pod in pods
        if pod.node == name and not pod.terminal
    )
    return max(0, node.accelerators - taken)
