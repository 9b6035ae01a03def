"""The ports of `engine.ports` on the in-memory cluster, with the API server's semantics where they matter.

resourceVersion conflicts, 409 for a name that is taken, deterministic names; every write can be the operator's last one.
"""

from typing import Any

from farthing.api import BudgetedTrainingJob, GPUNodePoolStatus, SpendRecord, TrainingBudgetStatus
from farthing.api.job_status import BudgetedTrainingJobStatus
from farthing.api.spend import Quote
from farthing.clock import Clock
from farthing.contract.handshake import CheckpointAnswer, CheckpointRequest, LeaseUpdate
from farthing.contract.runconfig import RunConfig
from farthing.domain.decision import OpenAttempt, SettleAttempt
from farthing.domain.manifests import AttemptManifests
from farthing.domain.snapshot import Attempt, Snapshot
from farthing.errors import Conflict, Unreachable
from farthing.ledger import account as accounts
from farthing.ledger import evidence, jobholds
from farthing.simulator.cluster import Cluster
from farthing.simulator.faults import Writes
from farthing.simulator.gang import Gang
from farthing.simulator.picture import Eyes, Scrapes, picture, reachable
from farthing.simulator.store import Store, highest_number
from farthing.simulator.trainer import Behaviour, Durable, Trainer
from farthing.simulator.watches import Watches


class InMemoryWorld:
    """One operator's hands and eyes in a cluster. Make a new one where the operator is restarted: it remembers nothing."""

    def __init__(self, cluster: Cluster, *, native_gangs: bool = True, clock: Clock | None = None) -> None:
        self.cluster = cluster
        self.native_gangs = native_gangs
        self.clock = clock or cluster.clock
        self.watches = Watches(cluster)
        self.writes = Writes()
        self.store = Store(cluster, self.writes, self.clock)
        self.events: list[tuple[str, str, str]] = []
        """(job, reason, message), each once."""
        self.decisions: list[tuple[str, str]] = []
        self.draining = False
        """Whether this operator is to stop every attempt."""
        self._scrapes = Scrapes()

    async def observe(self) -> Snapshot:
        """The state of the cluster now."""
        self.store.chain.clear()
        seen = self.watches.look()
        shown = picture(Eyes(seen, self.cluster, self._scrapes, self.clock.now(), self.native_gangs))
        return shown.drained() if self.draining else shown

    async def open_attempt(self, action: OpenAttempt, job: BudgetedTrainingJob, children: AttemptManifests) -> None:
        """Hold, record, children, Job, in this order."""
        key = f"{job.metadata.namespace}/{action.attempt}"
        standing = self.cluster.records.get(key)
        if standing is None:
            self._check_number(action, job)
            self.store.hold(job, action.attempt, action.lease.held)
            self.store.post_record(key, children.record)
        elif standing.status.phase != "Open" or standing.spec != SpendRecord.model_validate(children.record).spec:
            raise Conflict(f"SpendRecord {key} exists with another content: another leader was here")
        if job.spec.budget.account_ref is not None:
            self.store.hold(job, action.attempt, action.lease.held)
        for manifest in (children.secret, *children.children):
            self.store.post_child(manifest)
        if self.cluster.records[key].status.phase != "Open":
            raise Conflict(f"SpendRecord {key} is settled: another leader was here")
        self._post_job(key, action.run_config, children.job)

    async def release(self, attempt: Attempt) -> None:
        """Set the Job's suspend to false."""
        gang = self._gang(attempt)
        if gang is not None and gang.job is not None and gang.job.suspended:
            self.store.write(f"release {attempt.name}", gang.release)

    async def lower_deadline(self, attempt: Attempt, seconds: int) -> None:
        """Lower the Job's deadline. Raises Conflict where it is not what the cache says."""
        gang, present = self._gang(attempt), attempt.job.active_deadline_seconds if attempt.job else None
        if gang is None or gang.job is None or present is None or seconds >= present:
            return
        if gang.job.active_deadline_seconds != present:
            raise Conflict(f"Job {attempt.name}: its deadline changed since it was read")
        self.store.write(f"deadline {attempt.name} {seconds}", lambda: gang.lower_deadline(seconds))

    async def end_pods(self, attempt: Attempt) -> None:
        """Delete the pods; the finalizer keeps them."""
        gang = self._gang(attempt)
        if gang is not None and gang.terminated_at is None:
            self.store.write(f"DELETE pods of {attempt.name}", lambda: gang.terminate(self.cluster.clock.now()))

    async def append_quote(self, attempt: Attempt, quote: dict[str, Any]) -> None:
        """Append a quote to the record."""
        key, added = self._key(attempt), Quote.model_validate(quote)
        record = self.cluster.records[key]
        if not record.status.quotes or record.status.quotes[-1] != added:
            status = record.status.model_copy(update={"quotes": [*record.status.quotes, added]})
            self.store.put_record(key, "quote", status)

    async def settle(self, action: SettleAttempt, attempt: Attempt) -> None:
        """Record, books, then what is left. Raises Conflict where the evidence is older than what the API server has."""
        key = self._key(attempt)
        standing = self.cluster.records[key].status
        if standing.phase != "Settled":
            self._check_evidence(action, attempt)
            self.store.put_record(key, "settle", action.status.model_copy(update={"quotes": standing.quotes}))
        self._settle_books(self.cluster.records[key])
        await self.clean_up(attempt)

    def _settle_books(self, record: SpendRecord) -> None:
        """The bill that stands in the record moves from hold to settled."""
        spec, namespace = record.spec, record.metadata.namespace
        charged = {} if record.status.charged is None else record.status.charged.as_decimals()
        if spec.account is not None:
            account = f"{namespace}/{spec.account}"
            self.store.change_account(account, lambda each: accounts.with_settlement(each.status, spec.attempt, charged))
        else:
            job = f"{namespace}/{spec.job.name}"
            self.store.change_job(job, spec.job.uid, lambda each: jobholds.with_settlement(each, spec.attempt, charged))

    async def clean_up(self, attempt: Attempt) -> None:
        """Finalizers off the pods, children deleted."""
        key, gang = self._key(attempt), self._gang(attempt)
        if gang is not None and any(pod.held for pod in gang.pods):
            self.store.write(f"finalizers {attempt.name}", gang.let_go)
        if gang is not None and gang.job is not None:
            self.store.write(f"DELETE Job {key}", lambda: self.cluster.delete_gang(key))
        elif gang is not None:
            self.cluster.collect(key)
        self.store.delete_children(attempt.record.metadata.namespace or "default", attempt.name)

    async def release_hold(self, namespace: str, job: str, attempt: str, account: str | None) -> None:
        """Drop a hold that no record stands for, or book the bill of one whose record is settled."""
        record = self.cluster.records.get(f"{namespace}/{attempt}")
        if record is not None and record.status.phase == "Open":
            raise Conflict(f"SpendRecord {namespace}/{attempt} exists: its hold stays until it is settled")
        if record is not None:
            self._settle_books(record)
        elif account is not None:
            self.store.change_account(f"{namespace}/{account}", lambda each: accounts.without_hold(each.status, attempt))
        else:
            self.store.change_job(f"{namespace}/{job}", None, lambda each: jobholds.without_hold(each, attempt))

    async def request_checkpoint(self, attempt: Attempt, request: CheckpointRequest) -> CheckpointAnswer:
        """POST /checkpoint."""
        return self._trainer(attempt).ask(request, self.cluster.clock.now())

    async def update_lease(self, attempt: Attempt, update: LeaseUpdate) -> None:
        """POST /lease."""
        self._trainer(attempt).move(update)

    async def write_job_status(self, job: BudgetedTrainingJob, status: dict[str, Any]) -> None:
        """Replace the job's status over the version that was read."""
        self.store.put_status(job, BudgetedTrainingJobStatus.model_validate(status))

    async def write_pool_status(self, name: str, status: GPUNodePoolStatus) -> None:
        """Replace the pool's status."""
        pool = self.cluster.pools[name].model_copy(update={"status": status})
        self.store.write(f"pool {name}", lambda: self.cluster.pools.update({name: pool}))

    async def write_account_status(
        self, namespace: str, name: str, status: TrainingBudgetStatus, resource_version: str
    ) -> None:
        """Replace the account's status under resourceVersion."""
        key = f"{namespace}/{name}"
        budget = self.cluster.accounts[key]
        if budget.metadata.resource_version != resource_version:
            raise Conflict(f"TrainingBudget {key} changed since it was read")
        self.store.write(f"account {key}", lambda: self.store.put_account(key, budget, status))

    async def emit(self, job: BudgetedTrainingJob, reason: str, message: str, *, warning: bool = False) -> None:
        """An Event; the same one again changes nothing."""
        event = (job.metadata.name, reason, message)
        if event not in self.events:
            self.store.write(f"event {reason}", lambda: self.events.append(event))

    async def delete_job(self, job: BudgetedTrainingJob) -> None:
        """Delete the job in the background."""
        key = f"{job.metadata.namespace}/{job.metadata.name}"
        self.store.write(f"DELETE {key}", lambda: self.cluster.delete_job(key))

    def cycle(self, seconds: float, phases: dict[str, float]) -> None:
        """No metrics here."""

    def decision(self, action: str, reason: str) -> None:
        """Kept for who asks."""
        self.decisions.append((action, reason))

    def job(self, job: BudgetedTrainingJob, status: dict[str, Any]) -> None:
        """No metrics here."""

    def forget(self, namespace: str, name: str) -> None:
        """No metrics here."""

    def _check_evidence(self, action: SettleAttempt, attempt: Attempt) -> None:
        gang, owner = self._gang(attempt), attempt.record.spec.job
        job = self.cluster.jobs.get(f"{attempt.record.metadata.namespace}/{owner.name}")
        missed = not action.job_deleted and (
            job is None or job.metadata.uid != owner.uid or job.metadata.deletion_timestamp is not None
        )
        stands, pods = (gang.job is not None, gang.pods) if gang is not None else (False, attempt.pods)
        evidence.check(attempt, job_stands=stands, pods=pods, missed_deletion=missed)

    def _check_number(self, action: OpenAttempt, job: BudgetedTrainingJob) -> None:
        records = self.store.records_of(job.metadata.uid)
        if action.number != highest_number(records) + 1 or any(each.status.phase == "Open" for each in records):
            raise Conflict(f"attempt {action.attempt}: the cache is behind")

    def _post_job(self, key: str, config: RunConfig, manifest: dict[str, Any]) -> None:
        self.store.refuse("Job")
        standing = self.cluster.gangs.get(key)
        if standing is not None and standing.job is not None:
            return
        namespace, name = key.split("/", 1)
        behaviour = self.cluster.behaviours.get(f"{namespace}/{config.job.name}", Behaviour())
        durable = self.cluster.durable.get(config.job.uid, Durable())
        pool = self.cluster.records[key].spec.pool
        now = self.cluster.clock.now()
        gang = Gang.created(manifest, config, pool, behaviour, durable, now)

        def post() -> None:
            gang.bare = f"{namespace}/ConfigMap/{name}" not in self.cluster.children
            self.cluster.add_gang(key, gang)

        self.store.write(f"POST Job {key}", post)

    def _key(self, attempt: Attempt) -> str:
        return f"{attempt.record.metadata.namespace}/{attempt.name}"

    def _gang(self, attempt: Attempt) -> Gang | None:
        return self.cluster.gangs.get(self._key(attempt))

    def _trainer(self, attempt: Attempt) -> Trainer:
        gang = self._gang(attempt)
        if gang is None or gang.trainer is None or not reachable(self.cluster, gang):
            raise Unreachable(f"rank 0 of {attempt.name} does not answer")
        return gang.trainer
