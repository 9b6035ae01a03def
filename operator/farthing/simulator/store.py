"""The API server's side of a write: versions, conflicts, names that are taken, and the place where an operator can die."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from farthing.api import BudgetedTrainingJob, SpendRecord, SpendRecordStatus, TrainingBudget, TrainingBudgetStatus
from farthing.api.job_status import BudgetedTrainingJobStatus
from farthing.clock import Clock
from farthing.contract.names import LABEL_ATTEMPT
from farthing.domain.decision import Amounts
from farthing.errors import Conflict, Refused
from farthing.ledger import account as accounts
from farthing.ledger import jobholds
from farthing.simulator.cluster import Cluster
from farthing.simulator.faults import Writes


@dataclass
class Store:
    """Writes of one operator."""

    cluster: Cluster
    writes: Writes
    clock: Clock
    """The operator's own."""
    refuses: dict[str, str] = field(default_factory=dict)
    """The server's text by the kind whose POST it refuses."""
    chain: dict[str, set[str]] = field(default_factory=dict)
    """By job: versions that this operator itself has overwritten since it last looked."""

    def write(self, what: str, change: Callable[[], object]) -> None:
        """One write: the operator may die right before or right after it."""
        self.writes.before(what)
        change()
        self.writes.after()

    def hold(self, job: BudgetedTrainingJob, attempt: str, wanted: Amounts) -> None:
        """Set amounts aside on the account, else in the job's status. Raises InsufficientBudget, Conflict."""
        meta, reference = job.metadata, job.spec.budget.account_ref
        now = self.clock.now()
        if reference is not None:
            self.change_account(
                f"{meta.namespace}/{reference.name}",
                lambda each: accounts.with_hold(each, attempt, meta.name, meta.uid, wanted, now),
            )
            return
        current = self.current(job)
        records = self.records_of(meta.uid)
        self._change(current, jobholds.with_hold(current, attempt, wanted, records))

    def change_account(self, key: str, change: Callable[[TrainingBudget], TrainingBudgetStatus]) -> None:
        """Read, change, write; no write where nothing changed."""
        budget = self.cluster.accounts.get(key)
        if budget is None:
            return
        status = change(budget)
        if status is not budget.status:
            self.write(f"account {key}", lambda: self.put_account(key, budget, status))

    def put_account(self, key: str, budget: TrainingBudget, status: TrainingBudgetStatus) -> None:
        """The account with another status, at a new version. Raises Conflict unless `budget` is the newest one."""
        if self.cluster.accounts.get(key) is not budget:
            raise Conflict(f"TrainingBudget {key} changed since it was read")
        meta = budget.metadata.model_copy(update={"resource_version": self.cluster.next_version()})
        self.cluster.accounts[key] = budget.model_copy(update={"status": status, "metadata": meta})

    def change_job(
        self, key: str, uid: str | None, change: Callable[[BudgetedTrainingJobStatus], BudgetedTrainingJobStatus]
    ) -> None:
        """The same for a job's own books; a job made anew under the name is another one."""
        job = self.cluster.jobs.get(key)
        if job is not None and uid in (None, job.metadata.uid):
            self._change(job, change(job.status))

    def put_status(self, job: BudgetedTrainingJob, status: BudgetedTrainingJobStatus) -> None:
        """Replace the status over the version that was read. Holds belong to the books. Raises Conflict."""
        current = self.current(job)
        self._change(current, status.model_copy(update={"holds": current.status.holds}))

    def current(self, job: BudgetedTrainingJob) -> BudgetedTrainingJob:
        """The job as it stands. Raises Conflict where somebody else wrote since `job` was read."""
        key = f"{job.metadata.namespace}/{job.metadata.name}"
        found = self.cluster.jobs.get(key)
        if found is None or found.metadata.uid != job.metadata.uid:
            raise Conflict(f"{key} is gone")
        version = job.metadata.resource_version
        if version != found.metadata.resource_version and version not in self.chain.get(key, ()):
            raise Conflict(f"{key} changed since it was read")
        return found

    def records_of(self, uid: str) -> list[SpendRecord]:
        """A quorum read of a job's spend records."""
        return [record for record in self.cluster.records.values() if record.spec.job.uid == uid]

    def post_record(self, key: str, manifest: dict[str, Any]) -> None:
        """POST a SpendRecord. Raises Refused, or Conflict where the name is taken."""
        self.refuse("SpendRecord")
        if key in self.cluster.records:
            raise Conflict(f"SpendRecord {key} exists")
        record = SpendRecord.model_validate({key: value for key, value in manifest.items() if key != "status"})
        meta = record.metadata.model_copy(update={"uid": f"uid-{key}", "resource_version": self.cluster.next_version()})
        posted = record.model_copy(update={"metadata": meta})
        self.write(f"POST SpendRecord {key}", lambda: self._keep_record(key, posted, over=None))

    def put_record(self, key: str, what: str, status: SpendRecordStatus) -> None:
        """Replace a record's status over the version that stands. Raises Refused for a settled one: a CEL rule freezes it."""
        standing = self.cluster.records[key]
        if standing.status.phase == "Settled":
            raise Refused(f"SpendRecord {key} is settled")
        record = standing.model_copy(update={"status": status})
        self.write(f"{what} {key}", lambda: self._keep_record(key, record, over=standing))

    def post_child(self, manifest: dict[str, Any]) -> None:
        """POST a child; one of this attempt's own that stands already is fine."""
        meta = manifest["metadata"]
        path = f"{meta['namespace']}/{manifest['kind']}/{meta['name']}"
        self.refuse(manifest["kind"])
        standing = self.cluster.children.get(path)
        if standing is None:
            self.write(f"POST {path}", lambda: self.cluster.children.setdefault(path, manifest))
        elif standing["metadata"]["labels"].get(LABEL_ATTEMPT) != meta["name"]:
            raise Conflict(f"{path} exists and is somebody else's")

    def delete_children(self, namespace: str, attempt: str) -> None:
        """Delete what stands of an attempt's children."""
        for path in self.children_of(namespace, attempt):
            self.write(f"DELETE {path}", partial(self.cluster.children.pop, path, None))

    def children_of(self, namespace: str | None, attempt: str) -> list[str]:
        """Paths of an attempt's children."""
        return [path for path in self.cluster.children if (parts := path.split("/"))[0] == namespace and parts[2] == attempt]

    def refuse(self, kind: str) -> None:
        """Raise Refused where the server says no to this kind."""
        if kind in self.refuses:
            raise Refused(self.refuses[kind])

    def _change(self, job: BudgetedTrainingJob, status: BudgetedTrainingJobStatus) -> None:
        if status is job.status:
            return
        key = f"{job.metadata.namespace}/{job.metadata.name}"
        self.write(f"status {key}", lambda: self._keep_job(key, job, status))

    def _keep_job(self, key: str, job: BudgetedTrainingJob, status: BudgetedTrainingJobStatus) -> None:
        if self.cluster.jobs.get(key) is not job:
            raise Conflict(f"{key} changed since it was read")
        self.chain.setdefault(key, set()).add(job.metadata.resource_version)
        meta = job.metadata.model_copy(update={"resource_version": self.cluster.next_version()})
        self.cluster.jobs[key] = job.model_copy(update={"status": status, "metadata": meta})

    def _keep_record(self, key: str, record: SpendRecord, over: SpendRecord | None) -> None:
        if self.cluster.records.get(key) is not over:
            raise Conflict(f"SpendRecord {key} changed since it was read")
        self.cluster.records[key] = record


def highest_number(records: Iterable[SpendRecord]) -> int:
    """The highest attempt number; 0 without any."""
    return max((record.spec.number for record in records), default=0)
