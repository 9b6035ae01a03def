"""Jobs that draw on one account: a second life of a job gets only what the first one left, and no money is given out twice."""

import asyncio
from decimal import Decimal

import pytest
from tests.controller.test_operator import Stage, word
from tests.support.accounts import AccountHistory
from tests.support.bills import audit
from tests.support.evidence import Evidence
from tests.support.manifests import ACCOUNT, changed
from tests.support.operating import operator
from tests.support.waiting import until

from farthing.api import SpendRecord
from farthing.kube import resources as of

pytestmark = pytest.mark.controller

MONEY = "0.05"
"""360 s of one accelerator: less than any attempt would hold without the account."""
ON_ACCOUNT = {"spec.budget.accountRef": {"name": "team-a"}}


@pytest.fixture
async def stage(furnished, client, namespace, tmp_path):
    """A namespace whose account has little money."""
    account = changed(ACCOUNT, {"metadata.namespace": namespace, "spec.limits": {"cost": MONEY}})
    await client.create(of.ACCOUNTS.path(namespace), account)
    return Stage(furnished, client, namespace, tmp_path)


@pytest.fixture
def account(stage):
    with AccountHistory(stage.made.kubeconfig, stage.namespace, "team-a") as history:
        yield history


@pytest.fixture
def evidence(stage):
    with Evidence(stage.made.kubeconfig, stage.namespace) as recorded:
        yield recorded


async def newest(stage: Stage, kind: str, beside: frozenset[str] = frozenset()) -> SpendRecord:
    """The record of a running attempt of that stage, beside those that are known."""

    async def look() -> SpendRecord | None:
        records = [each for each in await stage.records() if each.spec.stage == kind and each.spec.attempt not in beside]
        pods = [pod for pod in await stage.pods() if pod["status"]["phase"] == "Running"]
        fresh = [each for each in records if each.status.phase == "Open"]
        return fresh[0] if fresh and len(pods) >= fresh[0].spec.pods else None

    return await until(look, f"a {kind} attempt that runs")


async def live(stage: Stage) -> SpendRecord:
    """Submit the job and play it until it trains; its train attempt's record."""
    await stage.submit(**ON_ACCOUNT)
    prepare = await newest(stage, "Prepare")
    product = {"preparedTokens": 10_000_000, "preparedDigest": "sha256:1"}
    await stage.end_pods(word(prepare.spec.attempt, "Prepare", "Prepared", **product))
    return await newest(stage, "Train")


async def die(stage: Stage, bills: int) -> None:
    """Delete the job and wait until everything of it is settled and gone."""
    await stage.client.delete(of.TRAINING_JOBS.path(stage.namespace, "tiny"))
    await stage.settled(bills)
    await stage.nothing_left()


async def closed(stage: Stage, evidence: Evidence) -> Decimal:
    """Hold every bill of the namespace against the evidence; what they add up to."""
    records = await stage.client.list_items(of.RECORDS.path(stage.namespace))
    for uid in {record["spec"]["job"]["uid"] for record in records}:
        own = [record for record in records if record["spec"]["job"]["uid"] == uid]
        await asyncio.to_thread(audit, evidence, own)
    return sum((Decimal(record["status"]["charged"].get("cost", "0")) for record in records), Decimal(0))


async def test_a_job_made_anew_gets_what_its_first_life_left(stage, account, evidence):
    with operator(stage.made, stage.folder):
        first = await live(stage)
        await die(stage, bills=2)
        second = await live(stage)
        await die(stage, bills=4)

    told = await asyncio.to_thread(account.check)
    assert told[-1] == await closed(stage, evidence) > 0
    assert Decimal(second.spec.held.cost) < Decimal(first.spec.held.cost)
    bills = await stage.records()
    assert len({bill.spec.job.uid for bill in bills}) == 2
    earlier = sum(Decimal(bill.status.charged.cost) for bill in bills if bill.spec.attempt != second.spec.attempt)
    assert Decimal(second.spec.held.cost) <= Decimal(MONEY) - earlier


async def test_two_jobs_race_for_the_last_money_and_the_loser_says_what_it_waits_for(stage, account, evidence):
    """Both are there before the operator is: one cycle plans both on the same balance."""
    for name in ("one", "two"):
        await stage.submit(name, **ON_ACCOUNT)
    with operator(stage.made, stage.folder):
        winner = (await newest(stage, "Prepare")).spec.job.name
        loser = "two" if winner == "one" else "one"
        assert "account team-a" in await waits(stage, loser)
        assert {record.spec.job.name for record in await stage.records()} == {winner}

        await stage.client.delete(of.TRAINING_JOBS.path(stage.namespace, winner))
        await stage.settled(1)
        (after,) = [record for record in await eventually(stage, 2) if record.spec.job.name == loser]
        await stage.client.delete(of.TRAINING_JOBS.path(stage.namespace, loser))
        await stage.settled(2)
        await stage.nothing_left()

    told = await asyncio.to_thread(account.check)
    assert told[-1] == await closed(stage, evidence) > 0
    assert Decimal(after.spec.held.cost) < Decimal(MONEY)


async def eventually(stage: Stage, count: int) -> list[SpendRecord]:
    """Wait until that many attempts were opened."""

    async def look() -> list[SpendRecord] | None:
        records = await stage.records()
        return records if len(records) >= count else None

    return await until(look, f"{count} records")


async def waits(stage: Stage, name: str) -> str:
    """Wait until the job says that it waits for its account; what it says."""

    async def look() -> str | None:
        told = (await stage.job(name)).status.conditions
        said = [each.message for each in told if each.status == "False" and each.reason == "AccountExhausted"]
        return said[0] if said else None

    return await until(look, f"{name} to wait for its account")
