"""Where holds stand: on the account that a job draws on, or in the job's own status where it names none.

Every change is read, computed by the pure ledger and written back under the resourceVersion that was read: of two leaders one
gets a Conflict.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from farthing.api import BudgetedTrainingJob, BudgetedTrainingJobStatus, SpendRecord, TrainingBudget, TrainingBudgetStatus
from farthing.api.amounts import Axis
from farthing.api.job import HoldStatus
from farthing.clock import Clock
from farthing.errors import InvalidSpec
from farthing.kube.client import Client
from farthing.kube.resources import ACCOUNTS, TRAINING_JOBS
from farthing.ledger import account as accounts
from farthing.ledger import jobholds

Amounts = Mapping[Axis, Decimal]
Check = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class JobVersion:
    """The newest version of a job that this process wrote, and the holds in it (None: the snapshot's own are the newest)."""

    version: str
    holds: list[dict[str, Any]] | None = None


class JobVersions:
    """Follows this process' own writes to a job's status within one cycle, so that its second write does not collide with its
    first. Somebody else's write in between breaks the chain, and the API server answers Conflict as it should."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], JobVersion] = {}

    def new_cycle(self) -> None:
        """A new snapshot is taken, which holds every earlier write."""
        self._newest.clear()

    def newest(self, job: BudgetedTrainingJob) -> JobVersion:
        """The version to write over for somebody who read `job` in this cycle."""
        version = job.metadata.resource_version
        return self._newest.get((job.metadata.uid, version), JobVersion(version))

    def wrote(self, uid: str, over: str, written: dict[str, Any]) -> None:
        """This process replaced version `over` by `written`; whoever read any earlier link of the chain follows it."""
        newest = JobVersion(written["metadata"]["resourceVersion"], (written.get("status") or {}).get("holds", []))
        links = [key for key, at in self._newest.items() if key[0] == uid and at.version == over]
        self._newest |= dict.fromkeys((*links, (uid, over)), newest)


class Books:
    """Adds, settles and drops holds. Asked twice, the second time writes nothing."""

    def __init__(self, client: Client, versions: JobVersions, clock: Clock) -> None:
        self._client = client
        self._versions = versions
        self._clock = clock

    async def hold(self, job: BudgetedTrainingJob, attempt: str, wanted: Amounts, records: Iterable[SpendRecord]) -> None:
        """Set `wanted` aside. Raises InsufficientBudget where it does not fit, Conflict where another writer was first."""
        account = job.spec.budget.account_ref
        if account is None:
            await self._hold_on_job(job, attempt, wanted, records)
            return
        namespace, meta, now = job.metadata.namespace, job.metadata, self._clock.now()
        found = await self._change_account(
            namespace, account.name, lambda budget: accounts.with_hold(budget, attempt, meta.name, meta.uid, wanted, now)
        )
        if not found:
            raise InvalidSpec("budget.accountRef", account.name, f"create a TrainingBudget of that name in {namespace}")

    async def settle(self, record: SpendRecord, charged: Amounts) -> None:
        """Move an attempt's charge from its hold to the closing balance; an account or a job that is gone keeps no books."""
        spec, namespace = record.spec, record.metadata.namespace
        if spec.account is not None:
            await self._change_account(
                namespace, spec.account, lambda budget: accounts.with_settlement(budget.status, spec.attempt, charged)
            )
        else:
            await self._change_job(
                namespace, spec.job.name, spec.job.uid, lambda job: jobholds.with_settlement(job.status, spec.attempt, charged)
            )

    async def drop(self, namespace: str, job: str, attempt: str, account: str | None, unrecorded: Check) -> None:
        """Drop a hold that no record stands for. `unrecorded` raises Conflict where one does.

        It is asked between the reading and the writing of the books: whoever holds anew for a record moves their version.
        """
        if account is not None:
            await self._change_account(
                namespace, account, lambda budget: accounts.without_hold(budget.status, attempt), unrecorded
            )
        else:
            await self._change_job(namespace, job, None, lambda found: jobholds.without_hold(found.status, attempt), unrecorded)

    async def _hold_on_job(
        self, job: BudgetedTrainingJob, attempt: str, wanted: Amounts, records: Iterable[SpendRecord]
    ) -> None:
        """Over the version that the decision was made on: anything newer is a Conflict."""
        newest = self._versions.newest(job)
        if newest.holds is not None:
            holds = [HoldStatus.model_validate(each) for each in newest.holds]
            job = job.model_copy(update={"status": job.status.model_copy(update={"holds": holds})})
        status = jobholds.with_hold(job, attempt, wanted, records)
        if status is not job.status:
            await self._write_job(job, newest.version, status)

    async def _change_account(
        self,
        namespace: str | None,
        name: str,
        change: Callable[[TrainingBudget], TrainingBudgetStatus],
        check: Check | None = None,
    ) -> bool:
        """Write the changed status over the one just read; False where there is no such account."""
        found = await self._client.get(ACCOUNTS.path(namespace, name))
        if found is None:
            return False
        if check is not None:
            await check()
        budget = TrainingBudget.model_validate(found)
        status = change(budget)
        if status is not budget.status:
            found["status"] = status.to_dict()
            await self._client.replace(ACCOUNTS.path(namespace, name, "status"), found)
        return True

    async def _change_job(
        self,
        namespace: str | None,
        name: str,
        uid: str | None,
        change: Callable[[BudgetedTrainingJob], BudgetedTrainingJobStatus],
        check: Check | None = None,
    ) -> None:
        """The same for a job; one that was made anew under the name is another one."""
        found = await self._client.get(TRAINING_JOBS.path(namespace, name))
        if found is None or uid not in (None, found["metadata"]["uid"]):
            return
        if check is not None:
            await check()
        job = BudgetedTrainingJob.model_validate(found)
        status = change(job)
        if status is not job.status:
            await self._write_job(job, job.metadata.resource_version, status)

    async def _write_job(self, job: BudgetedTrainingJob, over: str, status: BudgetedTrainingJobStatus) -> None:
        path = TRAINING_JOBS.path(job.metadata.namespace, job.metadata.name, "status")
        written = await self._client.replace(path, job_with_status(job, over, status.to_dict()))
        self._versions.wrote(job.metadata.uid, over, written)


def job_with_status(job: BudgetedTrainingJob, over: str, status: dict[str, Any]) -> dict[str, Any]:
    """The body that replaces a job's status over version `over`; the API server leaves everything else as it is."""
    return {
        "apiVersion": TRAINING_JOBS.api_version,
        "kind": TRAINING_JOBS.kind,
        "metadata": {
            "name": job.metadata.name,
            "namespace": job.metadata.namespace,
            "uid": job.metadata.uid,
            "resourceVersion": over,
        },
        "status": status,
    }
