"""The ports `Attempts` and `Recorder`, one suite for the real API server and for the simulator's memory."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from tests.controller.conftest import new_namespace
from tests.support.backends import Backend, ClusterBackend, MemoryBackend, bare, objects, settle
from tests.support.starts import HELD, manifests, settled, start

from farthing.api.amounts import Axis
from farthing.clock import FakeClock
from farthing.domain.decision import Because, SettleAttempt
from farthing.errors import Conflict, InsufficientBudget
from farthing.kube.client import Client

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ACCOUNT = {"spec.budget.accountRef": {"name": "team-a"}}


@pytest.fixture(params=["memory", pytest.param("cluster", marks=pytest.mark.controller)])
async def backend(request):
    clock = FakeClock(NOW)
    if request.param == "memory":
        yield MemoryBackend(clock)
        return
    made = request.getfixturevalue("furnished")
    with new_namespace(made) as namespace:
        async with await Client.connect(made.kubeconfig) as client:
            yield ClusterBackend(client, namespace, clock)


async def opened(backend: Backend, **changes):
    """A job and its first attempt."""
    job = await backend.create_job(**changes)
    action = start(job, await backend.pool(), 1, NOW)
    made = manifests(action, job, await backend.pool(), NOW)
    await backend.attempts.open_attempt(action, job, made)
    return job, action, made


async def test_a_start_makes_everything_and_holds_on_the_job(backend):
    job, action, made = await opened(backend)
    assert await backend.kinds(made) == {each["kind"] for each in objects(made)}
    holds = (await backend.job(job)).status.holds
    assert [(hold.attempt, hold.amounts.as_decimals()) for hold in holds] == [(action.attempt, HELD)]
    (record,) = await backend.records()
    assert (record.spec.number, record.status.phase) == (1, "Open")


async def test_a_start_asked_twice_changes_nothing(backend):
    job, action, made = await opened(backend)
    before = (await backend.job(job)).metadata.resource_version
    await backend.attempts.open_attempt(action, job, made)
    assert (await backend.job(job)).metadata.resource_version == before
    assert len(await backend.records()) == 1


async def test_the_hold_fits_the_account_or_nothing_happens(backend):
    await backend.create_account("0.15")
    _, first, _ = await opened(backend, **ACCOUNT)
    other = await backend.create_job(**{"metadata.name": "other", **ACCOUNT})
    action = start(other, await backend.pool(), 1, NOW)
    made = manifests(action, other, await backend.pool(), NOW)
    with pytest.raises(InsufficientBudget):
        await backend.attempts.open_attempt(action, other, made)
    assert await backend.kinds(made) == set()
    assert [hold.attempt for hold in (await backend.account()).status.holds] == [first.attempt]


@pytest.mark.parametrize("number", [2, 3])
async def test_no_second_attempt_beside_an_open_bill(backend, number):
    job, _, _ = await opened(backend)
    fresh = await backend.job(job)
    action = start(fresh, await backend.pool(), number, NOW)
    made = manifests(action, fresh, await backend.pool(), NOW)
    with pytest.raises(Conflict):
        await backend.attempts.open_attempt(action, fresh, made)
    assert await backend.kinds(made) == set()


async def test_a_record_of_another_content_is_a_conflict(backend):
    job, action, _ = await opened(backend)
    with pytest.raises(Conflict, match="another content"):
        await backend.attempts.open_attempt(action, job, manifests(action, job, await backend.pool(), NOW.replace(hour=13)))


async def test_a_job_that_changed_since_it_was_read_is_a_conflict(backend):
    job = await backend.create_job()
    await backend.edit_job(job)
    action = start(job, await backend.pool(), 1, NOW)
    made = manifests(action, job, await backend.pool(), NOW)
    with pytest.raises(Conflict):
        await backend.attempts.open_attempt(action, job, made)
    assert await backend.kinds(made) == set()


async def test_settling_twice_bills_once(backend):
    await backend.create_account("100")
    _, action, made = await opened(backend, **ACCOUNT)
    (record,) = await backend.records()
    bill = SettleAttempt(action.job, action.attempt, record, settled("0.02", NOW), Because("Settled"))
    for _ in range(2):
        await settle(backend, bill)
    account = await backend.account()
    assert account.status.holds == []
    assert account.status.settled.as_decimals()[Axis.COST] == Decimal("0.02")
    assert [each.status.phase for each in await backend.records()] == ["Settled"]
    assert "ConfigMap" not in await backend.kinds(made)


async def test_the_next_attempt_follows_a_settled_one(backend):
    job, action, _ = await opened(backend)
    (record,) = await backend.records()
    bill = SettleAttempt(action.job, action.attempt, record, settled("0.02", NOW), Because("Settled"))
    await settle(backend, bill)
    assert (await backend.job(job)).status.holds == []
    fresh = await backend.job(job)
    following = start(fresh, await backend.pool(), 2, NOW)
    await backend.attempts.open_attempt(following, fresh, manifests(following, fresh, await backend.pool(), NOW))
    assert sorted(each.spec.number for each in await backend.records()) == [1, 2]


async def test_a_bill_is_not_made_on_a_cache_that_missed_the_job(backend):
    await opened(backend)
    (record,) = await backend.records()
    bill = SettleAttempt(record.spec.job.name, record.spec.attempt, record, settled("0.02", NOW), Because("Settled"))
    with pytest.raises(Conflict, match="behind"):
        await backend.attempts.settle(bill, bare(record))
    assert [each.status.phase for each in await backend.records()] == ["Open"]


async def test_only_a_hold_without_a_record_is_released(backend):
    await backend.create_account("100")
    job, action, _ = await opened(backend, **ACCOUNT)
    namespace = job.metadata.namespace
    with pytest.raises(Conflict, match="exists"):
        await backend.attempts.release_hold(namespace, job.metadata.name, action.attempt, "team-a")
    await backend.attempts.release_hold(namespace, job.metadata.name, "tiny-0a1b2-9", "team-a")
    assert [hold.attempt for hold in (await backend.account()).status.holds] == [action.attempt]


async def test_quotes_are_appended_once(backend):
    await opened(backend)
    quote = {"from": "2026-11-24T12:10:00Z", "perAcceleratorHour": "0.75", "currency": "USD", "source": "example"}
    for _ in range(2):
        (record,) = await backend.records()
        await backend.attempts.append_quote(bare(record), quote)
    (record,) = await backend.records()
    assert [each.to_dict() for each in record.status.quotes] == [quote]


async def test_status_is_fenced_but_follows_this_cycles_own_hold(backend):
    job, action, _ = await opened(backend)
    await backend.recorder.write_job_status(job, {"state": "Starting", "holds": []})
    written = await backend.job(job)
    assert (written.status.state, [hold.attempt for hold in written.status.holds]) == ("Starting", [action.attempt])
    backend.new_cycle()
    with pytest.raises(Conflict):
        await backend.recorder.write_job_status(job, {"state": "Queued"})


async def test_account_status_is_fenced(backend):
    await backend.create_account("100")
    account = await backend.account()
    name, version = (account.metadata.namespace, account.metadata.name), account.metadata.resource_version
    status = account.status.model_copy(update={"spent_text": "0 USD"})
    await backend.recorder.write_account_status(*name, status, version)
    assert (await backend.account()).status.spent_text == "0 USD"
    with pytest.raises(Conflict):
        await backend.recorder.write_account_status(*name, status, version)


async def test_two_jobs_draw_on_one_account_at_once(backend):
    await backend.create_account("0.15")
    jobs = [await backend.create_job(**{"metadata.name": name, **ACCOUNT}) for name in ("one", "two")]
    pool = await backend.pool()
    actions = [start(job, pool, 1, NOW) for job in jobs]
    answers = await asyncio.gather(
        *(
            backend.attempts.open_attempt(action, job, manifests(action, job, pool, NOW))
            for action, job in zip(actions, jobs, strict=True)
        ),
        return_exceptions=True,
    )
    assert all(answer is None or isinstance(answer, (Conflict, InsufficientBudget)) for answer in answers)
    assert sum(answer is None for answer in answers) == 1
    assert len((await backend.account()).status.holds) == 1
