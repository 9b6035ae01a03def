"""`engine.ports.Attempts` and `Recorder` on a real API server: order, fences, and asked twice nothing changes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from tests.support.manifests import ACCOUNT, JOB, changed
from tests.support.starts import HELD, manifests, settled, start
from tests.support.waiting import until

from farthing.api import BudgetedTrainingJob, GPUNodePool, GPUNodePoolStatus, TrainingBudget
from farthing.api.amounts import Axis
from farthing.clock import FakeClock
from farthing.contract.names import FINALIZER_LEDGER, LABEL_ATTEMPT
from farthing.domain.decision import Because, SettleAttempt
from farthing.domain.snapshot import Attempt, Snapshot
from farthing.engine.manifests import Manifests
from farthing.errors import Conflict, Refused
from farthing.kube import resources as of
from farthing.kube.attempts import ClusterAttempts
from farthing.kube.books import Books, JobVersions
from farthing.kube.client import Client
from farthing.kube.operator_key import OperatorKey
from farthing.kube.recorder import ClusterRecorder
from farthing.kube.resources import resource_of
from farthing.kube.snapshot import Snapshots
from farthing.kube.watches import Watches

pytestmark = pytest.mark.controller

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = OperatorKey(b"k" * 32)


@dataclass
class Bench:
    """One job in a namespace of its own, and the adapters under test."""

    client: Client
    namespace: str
    attempts: ClusterAttempts
    recorder: ClusterRecorder
    versions: JobVersions
    watches: Watches
    pool: GPUNodePool

    async def job(self, **changes: Any) -> BudgetedTrainingJob:
        """A new job, with fields changed by dotted path."""
        storage = {"uri": "memory://checkpoints"}
        manifest = changed(JOB, {"metadata.namespace": self.namespace, "spec.checkpoint.storage": storage, **changes})
        return BudgetedTrainingJob.model_validate(await self.client.create(of.TRAINING_JOBS.path(self.namespace), manifest))

    async def account(self, cost: str = "100") -> None:
        """The account team-a."""
        manifest = changed(ACCOUNT, {"metadata.namespace": self.namespace, "spec.limits": {"cost": cost}})
        await self.client.create(of.ACCOUNTS.path(self.namespace), manifest)

    async def read_account(self) -> TrainingBudget:
        return TrainingBudget.model_validate(await self.client.get(of.ACCOUNTS.path(self.namespace, "team-a")))

    async def read_job(self, job: BudgetedTrainingJob) -> BudgetedTrainingJob:
        return BudgetedTrainingJob.model_validate(
            await self.client.get(of.TRAINING_JOBS.path(self.namespace, job.metadata.name))
        )

    async def snapshot(self) -> Snapshot:
        await self.watches.catch_up()
        return Snapshots(self.watches).take(NOW, native_gangs=True)

    async def until(self, found: Callable[[Attempt], bool], what: str) -> Attempt:
        """Wait until the only attempt of the namespace looks like that."""

        async def look() -> Attempt | None:
            taken = await self.snapshot()
            seen = [*(each for view in taken.jobs for each in view.attempts), *taken.orphans]
            return next((each for each in seen if each.record.metadata.namespace == self.namespace and found(each)), None)

        return await until(look, what)


@pytest.fixture
async def bench(client, namespace):
    versions, clock = JobVersions(), FakeClock(NOW)
    watches = Watches(client, lambda resource, key: None)
    watches.start()
    await watches.wait_synced()
    pool = GPUNodePool.model_validate(await client.get(of.POOLS.path(name="slots")))
    attempts = ClusterAttempts(client, KEY, Books(client, versions, clock), native_gangs=True)
    yield Bench(client, namespace, attempts, ClusterRecorder(client, versions, clock), versions, watches, pool)
    await watches.stop()


def objects(made: Manifests) -> list[dict[str, Any]]:
    return [made.record, made.secret, *made.children, made.job]


async def exist(client: Client, made: Manifests) -> dict[str, bool]:
    """Which objects of a start exist, by kind."""
    return {each["kind"]: await client.get(resource_of(each).of(each)) is not None for each in objects(made)}


async def opened(bench: Bench, **changes: Any) -> tuple[BudgetedTrainingJob, Manifests, Attempt]:
    """A job whose first attempt was opened and bound."""
    job = await bench.job(**changes)
    action = start(job, bench.pool, 1, NOW)
    made = manifests(action, job, bench.pool, NOW)
    await bench.attempts.open_attempt(action, job, made)
    attempt = await bench.until(lambda each: len(each.pods) == 2 and all(pod.bound_at for pod in each.pods), "two pods bound")
    return job, made, attempt


async def test_a_start_makes_everything_and_holds_on_the_job(bench):
    job, made, attempt = await opened(bench)
    assert all((await exist(bench.client, made)).values())
    holds = (await bench.read_job(job)).status.holds
    assert [(hold.attempt, hold.amounts.as_decimals()) for hold in holds] == [(attempt.name, HELD)]
    secret = await bench.client.get(of.SECRETS.path(bench.namespace, attempt.name))
    assert secret["data"]["token"]
    assert attempt.open
    assert attempt.job is not None
    assert not attempt.job.suspended
    assert [pod.index for pod in attempt.pods] == [0, 1]
    assert all(pod.held for pod in attempt.pods)


@pytest.mark.parametrize("missing", ["Job", "Secret", "Service", "ConfigMap"])
async def test_a_start_cut_off_goes_on(bench, missing):
    """As after a crash between two writes: the record stands, later objects do not."""
    job = await bench.job()
    action = start(job, bench.pool, 1, NOW)
    made = manifests(action, job, bench.pool, NOW)
    await bench.attempts.open_attempt(action, job, made)
    lost = next(each for each in objects(made) if each["kind"] == missing)
    await bench.client.delete(resource_of(lost).of(lost))
    await until(lambda: gone(bench.client, lost), f"{missing} gone")
    await bench.attempts.open_attempt(action, job, made)
    assert all((await exist(bench.client, made)).values())


async def gone(client: Client, manifest: dict[str, Any]) -> bool:
    return await client.get(resource_of(manifest).of(manifest)) is None


async def test_two_leaders_open_one_attempt(bench):
    job = await bench.job()
    action = start(job, bench.pool, 1, NOW)
    made = manifests(action, job, bench.pool, NOW)
    rival = ClusterAttempts(bench.client, KEY, Books(bench.client, JobVersions(), FakeClock(NOW)), native_gangs=True)
    answers = await asyncio.gather(
        *(each.open_attempt(action, job, made) for each in (bench.attempts, rival)), return_exceptions=True
    )
    assert sum(answer is None for answer in answers) >= 1
    assert all(answer is None or isinstance(answer, Conflict) for answer in answers)
    assert len((await bench.read_job(job)).status.holds) == 1


async def test_a_start_goes_no_further_once_its_attempt_was_settled(bench, monkeypatch):
    """As by a leader that slept between two writes, while another one ran the attempt to its end."""
    job = await bench.job()
    action = start(job, bench.pool, 1, NOW)
    made = manifests(action, job, bench.pool, NOW)
    create = bench.client.create

    async def settled_before_the_last_child(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if body["kind"] == "NetworkPolicy":
            record = await bench.client.get(of.RECORDS.of(made.record))
            record["status"] = settled("0.02", NOW).to_dict()
            await bench.client.replace(f"{of.RECORDS.of(made.record)}/status", record)
        return await create(path, body)

    monkeypatch.setattr(bench.client, "create", settled_before_the_last_child)
    with pytest.raises(Conflict, match="another leader was here"):
        await bench.attempts.open_attempt(action, job, made)
    assert not (await exist(bench.client, made))["Job"]


async def test_a_refusal_carries_the_servers_text(bench):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": bench.namespace},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    }
    path = f"/api/v1/namespaces/{bench.namespace}/resourcequotas"
    await bench.client.create(path, quota)

    async def in_force() -> bool:
        return bool(((await bench.client.get(f"{path}/none")) or {}).get("status", {}).get("used"))

    await until(in_force, "quota counted")
    job = await bench.job()
    action = start(job, bench.pool, 1, NOW)
    with pytest.raises(Refused, match="exceeded quota: none"):
        await bench.attempts.open_attempt(action, job, manifests(action, job, bench.pool, NOW))


async def test_settling_closes_the_books_and_leaves_no_child(bench):
    await bench.account()
    job, made, attempt = await opened(bench, **{"spec.budget.accountRef": {"name": "team-a"}})
    await bench.client.delete(of.JOBS.path(bench.namespace, attempt.name))
    ended = await bench.until(lambda each: bool(each.pods) and all(pod.terminal for pod in each.pods), "pods held and terminal")
    assert {pod.exit_code for pod in ended.pods} == {143}
    action = SettleAttempt(
        job=f"{bench.namespace}/{job.metadata.name}",
        attempt=attempt.name,
        record=ended.record,
        status=settled("0.02", NOW),
        because=Because("Settled"),
    )
    await bench.attempts.settle(action, ended)
    await until(lambda: nothing_left(bench, made), "no child left")
    account = await bench.read_account()
    assert account.status.holds == []
    assert account.status.settled.as_decimals()[Axis.COST] == Decimal("0.02")
    assert account.status.settled_attempts == [attempt.name]
    record = await bench.client.get(of.RECORDS.path(bench.namespace, attempt.name))
    assert record["status"]["phase"] == "Settled"
    version = account.metadata.resource_version
    await bench.attempts.settle(action, ended)
    assert (await bench.read_account()).metadata.resource_version == version


async def nothing_left(bench: Bench, made: Manifests) -> bool:
    left = await exist(bench.client, made)
    pods = await bench.client.list_items(of.PODS.path(bench.namespace), selector=LABEL_ATTEMPT)
    return not pods and [kind for kind, there in left.items() if there] == ["SpendRecord"]


async def test_settling_goes_on_after_a_crash_between_account_and_record(bench):
    await bench.account()
    job, made, attempt = await opened(bench, **{"spec.budget.accountRef": {"name": "team-a"}})
    books = Books(bench.client, bench.versions, FakeClock(NOW))
    await books.settle(attempt.record, {Axis.COST: Decimal("0.02")})
    seen = await bench.until(lambda each: each.settled_on_account and len(each.pods) == 2, "the snapshot says so")
    assert seen.open
    action = SettleAttempt(job.metadata.name, attempt.name, seen.record, settled("0.02", NOW), Because("Settled"))
    await bench.attempts.settle(action, seen)
    assert (await bench.read_account()).status.settled.as_decimals()[Axis.COST] == Decimal("0.02")
    await until(lambda: nothing_left(bench, made), "no child left")


async def test_release_and_deadlines(bench):
    job = await bench.job()
    action = start(job, bench.pool, 1, NOW)
    made = manifests(action, job, bench.pool, NOW, native_gangs=False)
    await bench.attempts.open_attempt(action, job, made)
    waiting = await bench.until(lambda each: each.job is not None and each.job.suspended, "suspended Job")
    assert waiting.pods == ()
    await bench.attempts.release(waiting)
    running = await bench.until(lambda each: len(each.pods) == 2 and not each.job.suspended, "released")
    await bench.attempts.release(running)
    await bench.attempts.lower_deadline(running, 300)
    lowered = await bench.until(lambda each: each.job.active_deadline_seconds == 300, "lowered")
    await bench.attempts.lower_deadline(lowered, 500)
    with pytest.raises(Conflict, match="changed since it was read"):
        await bench.attempts.lower_deadline(running, 400)
    job_now = await bench.client.get(of.JOBS.path(bench.namespace, action.attempt))
    assert job_now["spec"]["activeDeadlineSeconds"] == 300


async def test_a_hold_without_a_record_is_dropped_and_one_with_a_record_stays(bench):
    await bench.account()
    job, _, attempt = await opened(bench, **{"spec.budget.accountRef": {"name": "team-a"}})
    books = Books(bench.client, bench.versions, FakeClock(NOW))
    await books.hold(job, "tiny-0a1b2-9", {Axis.COST: Decimal("0.01")}, ())
    await bench.attempts.release_hold(bench.namespace, job.metadata.name, "tiny-0a1b2-9", "team-a")
    with pytest.raises(Conflict, match="exists"):
        await bench.attempts.release_hold(bench.namespace, job.metadata.name, attempt.name, "team-a")
    assert [hold.attempt for hold in (await bench.read_account()).status.holds] == [attempt.name]


async def test_events_count_instead_of_doubling(bench):
    job = await bench.job()
    for _ in range(3):
        await bench.recorder.emit(job, "Queued", "no room")
    await bench.recorder.emit(job, "Stalled", "no pool", warning=True)
    events = await bench.client.list_items(of.EVENTS.path(bench.namespace))
    assert {(each["reason"], each["type"], each["count"]) for each in events} == {
        ("Queued", "Normal", 3),
        ("Stalled", "Warning", 1),
    }
    assert all(each["involvedObject"]["uid"] == job.metadata.uid for each in events)


async def test_pool_and_account_status(bench):
    await bench.recorder.write_pool_status("slots", GPUNodePoolStatus(nodes=2, accelerators=8, free=8))
    assert (await bench.client.get(of.POOLS.path(name="slots")))["status"]["accelerators"] == 8
    await bench.recorder.write_pool_status("no-such-pool", GPUNodePoolStatus())
    await bench.account()
    account = await bench.read_account()
    status = account.status.model_copy(update={"spent_text": "0 USD"})
    await bench.recorder.write_account_status(bench.namespace, "team-a", status, account.metadata.resource_version)
    with pytest.raises(Conflict):
        await bench.recorder.write_account_status(bench.namespace, "team-a", status, account.metadata.resource_version)


async def test_a_job_made_anew_is_not_deleted(bench):
    job = await bench.job()
    other = job.model_copy(update={"metadata": job.metadata.model_copy(update={"uid": "another"})})
    with pytest.raises(Conflict):
        await bench.recorder.delete_job(other)
    await bench.recorder.delete_job(job)
    await bench.recorder.delete_job(job)
    assert await bench.client.get(of.TRAINING_JOBS.path(bench.namespace, job.metadata.name)) is None


async def test_a_fenced_client_writes_nothing(bench):
    job = await bench.job()

    def not_the_leader() -> None:
        raise Conflict("not the leader")

    bench.client.fence = not_the_leader
    action = start(job, bench.pool, 1, NOW)
    made = manifests(action, job, bench.pool, NOW)
    with pytest.raises(Conflict, match="not the leader"):
        await bench.attempts.open_attempt(action, job, made)
    bench.client.fence = lambda: None
    assert not any((await exist(bench.client, made)).values())


async def test_an_orphan_is_found_by_its_record(bench):
    job, _, _ = await opened(bench)
    await bench.recorder.delete_job(job)
    orphan = await bench.until(
        lambda each: each.job is None and all(pod.terminal for pod in each.pods), "job gone, pods terminal"
    )
    taken = await bench.snapshot()
    assert orphan.name in {each.name for each in taken.orphans}
    assert all(pod.held for pod in orphan.pods)
    await bench.attempts.clean_up(orphan)
    assert FINALIZER_LEDGER not in str(await bench.client.list_items(of.PODS.path(bench.namespace), selector=LABEL_ATTEMPT))
