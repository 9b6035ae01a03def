"""Talking to trainers: the answers of one that misbehaves in every way are one error, and never more memory than the limit."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from aiohttp import web
from tests.support.manifests import RECORD, changed

from farthing.api import SpendRecord
from farthing.clock import FakeClock
from farthing.contract.handshake import CheckpointRequest, LeaseUpdate
from farthing.contract.progress import Progress
from farthing.domain.snapshot import Attempt, PodFacts, Snapshot
from farthing.errors import Unreachable
from farthing.telemetry.scrape import MAX_BODY, Trainers

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
REQUEST = CheckpointRequest(id="r1", reason="Suspended", then="Stop", deadline_seconds=30)
ACCEPTED = '{"id":"r1","state":"Accepted","then":"Stop"}'


def attempt(ip="127.0.0.1", uid="record-1", phase="Running"):
    record = SpendRecord.model_validate(changed(RECORD, {"metadata.uid": uid}))
    return Attempt(record=record, pods=(PodFacts("p", "u", 0, phase, ip=ip, bound_at=NOW),))


def progress(step=1, phase="Training"):
    return Progress(attempt="tiny-0a1b2-1", stage="Train", phase=phase, started="2026-11-24T12:00:00Z", step=step).to_json()


class Faults:
    """Rank 0 of a gang that answers as it is told."""

    def __init__(self) -> None:
        self.status = 200
        self.body = progress()
        self.hang = asyncio.Event()
        self.hanging = False
        self.heard: list[tuple[str, str | None, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.heard.append((request.path, request.headers.get("Authorization"), await request.text()))
        if self.hanging:
            await self.hang.wait()
        headers = {"Location": "http://127.0.0.1:1/"} if self.status == 302 else None
        return web.Response(status=self.status, text=self.body, headers=headers)


@pytest.fixture
async def rank_zero():
    faults = Faults()
    app = web.Application()
    app.router.add_route("*", "/{route}", faults.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    faults.port = runner.addresses[0][1]
    yield faults
    faults.hang.set()
    await runner.cleanup()


@pytest.fixture
async def trainers(rank_zero):
    made = Trainers(FakeClock(NOW), lambda each: f"token-of-{each.record.metadata.uid}", timeout=0.5, port=rank_zero.port)
    yield made
    await made.close()


def seen(trainers, each):
    return trainers.with_reports(Snapshot(now=NOW, orphans=(each,))).orphans[0]


async def test_reports_are_set_beside_the_snapshot(trainers):
    assert await trainers.poll([attempt()]) == ("tiny-0a1b2-1",)
    found = seen(trainers, attempt())
    assert (found.progress.step, found.progress_at, found.unreachable_polls) == (1, NOW, 0)


async def test_mere_progress_wakes_nobody(trainers, rank_zero):
    await trainers.poll([attempt()])
    rank_zero.body = progress(step=2)
    assert await trainers.poll([attempt()]) == ()
    rank_zero.body = progress(step=2, phase="Landing")
    assert await trainers.poll([attempt()]) == ("tiny-0a1b2-1",)


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, "boom"), (200, "not json"), (200, '{"step": 1}'), (200, "x" * (MAX_BODY + 1)), (302, ""), (404, progress())],
)
async def test_a_bad_answer_is_counted_and_the_last_report_stays(trainers, rank_zero, status, body):
    await trainers.poll([attempt()])
    rank_zero.status, rank_zero.body = status, body
    await trainers.poll([attempt()])
    await trainers.poll([attempt()])
    found = seen(trainers, attempt())
    assert (found.progress.step, found.unreachable_polls) == (1, 2)


async def test_a_hanging_trainer_is_given_up(trainers, rank_zero):
    rank_zero.hanging = True
    await trainers.poll([attempt()])
    assert seen(trainers, attempt()).unreachable_polls == 1
    with pytest.raises(Unreachable):
        await trainers.request_checkpoint(attempt(), REQUEST)


async def test_reports_outlive_the_pod_until_the_bill_is_settled(trainers, rank_zero):
    await trainers.poll([attempt()])
    ended = replace(attempt(), pods=(PodFacts("p", "u", 0, "Failed", ip="127.0.0.1", bound_at=NOW),))
    rank_zero.body = progress(step=9)
    await trainers.poll([ended])
    assert seen(trainers, ended).progress.step == 1
    await trainers.poll([])
    assert seen(trainers, ended).progress is None


async def test_requests_carry_the_attempts_token(trainers, rank_zero):
    rank_zero.status, rank_zero.body = 202, ACCEPTED
    assert (await trainers.request_checkpoint(attempt(), REQUEST)).state == "Accepted"
    rank_zero.status = 200
    await trainers.update_lease(attempt(), LeaseUpdate(id="l1"))
    assert [(path, token) for path, token, _ in rank_zero.heard] == [
        ("/checkpoint", "Bearer token-of-record-1"),
        ("/lease", "Bearer token-of-record-1"),
    ]
    assert CheckpointRequest.model_validate_json(rank_zero.heard[0][2]) == REQUEST


@pytest.mark.parametrize("status", [401, 409, 500, 302])
async def test_a_refused_request_is_unreachable(trainers, rank_zero, status):
    rank_zero.status, rank_zero.body = status, ACCEPTED
    with pytest.raises(Unreachable, match=str(status)):
        await trainers.request_checkpoint(attempt(), REQUEST)
    with pytest.raises(Unreachable, match=str(status)):
        await trainers.update_lease(attempt(), LeaseUpdate(id="l1"))


async def test_nobody_to_ask(trainers):
    with pytest.raises(Unreachable, match="no address"):
        await trainers.request_checkpoint(attempt(ip=None), REQUEST)
