"""Talking to rank 0 of running attempts over its control port: reports in, requests out."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Final, TypeVar

import aiohttp
from pydantic import ValidationError

from farthing.clock import Clock
from farthing.contract.base import Message
from farthing.contract.handshake import CheckpointAnswer, CheckpointRequest, LeaseUpdate
from farthing.contract.names import CONTROL_PORT, ROUTE_CHECKPOINT, ROUTE_LEASE, ROUTE_PROGRESS
from farthing.contract.progress import Progress
from farthing.domain.snapshot import Attempt, JobView, Snapshot
from farthing.errors import Unreachable

Answer = TypeVar("Answer", bound=Message)

MAX_BODY: Final = 64 * 1024
"""A report with its twenty checkpoints takes about 8 KiB; a tenant's pod gets no more of our memory than this."""


@dataclass(frozen=True, slots=True)
class Report:
    """The last thing a trainer said, when, and how often in a row it has not answered since."""

    progress: Progress | None = None
    at: datetime | None = None
    failures: int = 0

    @property
    def turning_point(self) -> tuple[object, ...]:
        """What a cycle should see at once when it changes."""
        if self.progress is None:
            return ()
        checkpoint = self.progress.checkpoint
        return self.progress.phase, self.progress.answer, checkpoint.step if checkpoint else None


class Trainers:
    """`engine.ports.Trainers`, and the reports of every running attempt. `token` gives an attempt's bearer token."""

    def __init__(
        self,
        clock: Clock,
        token: Callable[[Attempt], str],
        *,
        timeout: float = 5.0,
        concurrency: int = 16,
        port: int = CONTROL_PORT,
    ) -> None:
        self._clock = clock
        self._token = token
        self._port = port
        self._limit = asyncio.Semaphore(concurrency)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout))
        self._reports: dict[str, Report] = {}

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def poll(self, attempts: Iterable[Attempt]) -> tuple[str, ...]:
        """Ask each of these open attempts that runs for its report. Never raises for a silent trainer.

        The last report of one that runs no more is kept until its bill is settled: it bounds what a killed trainer has done.
        Names of attempts whose report shows more than mere progress: a phase, an answer, a checkpoint.
        """
        open_attempts = {attempt.record.metadata.uid: attempt for attempt in attempts}
        kept = {uid: self._reports.get(uid, Report()) for uid in open_attempts}
        asked = {uid: attempt for uid, attempt in open_attempts.items() if attempt.running and _address(attempt)}
        answers = await asyncio.gather(*(self._progress(attempt) for attempt in asked.values()))
        fresh = {uid: _next(kept[uid], answer) for uid, answer in zip(asked, answers, strict=True)}
        self._reports = kept | fresh
        return tuple(asked[uid].name for uid, report in fresh.items() if report.turning_point != kept[uid].turning_point)

    def with_reports(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with what the trainers said last."""
        return replace(
            snapshot,
            jobs=tuple(self._with_reports(view) for view in snapshot.jobs),
            orphans=tuple(self._with_report(attempt) for attempt in snapshot.orphans),
        )

    async def request_checkpoint(self, attempt: Attempt, request: CheckpointRequest) -> CheckpointAnswer:
        """POST /checkpoint. Raises Unreachable, also for an answer that is none."""
        status, body = await self._send("POST", attempt, ROUTE_CHECKPOINT, request)
        if status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
            raise Unreachable(f"{attempt.name}: POST {ROUTE_CHECKPOINT} answered {status}")
        return _parse(CheckpointAnswer, body, attempt)

    async def update_lease(self, attempt: Attempt, update: LeaseUpdate) -> None:
        """POST /lease. Raises Unreachable."""
        status, _ = await self._send("POST", attempt, ROUTE_LEASE, update)
        if status != HTTPStatus.OK:
            raise Unreachable(f"{attempt.name}: POST {ROUTE_LEASE} answered {status}")

    async def _progress(self, attempt: Attempt) -> Report | None:
        """A fresh report, or None where there was no answer."""
        try:
            async with self._limit:
                status, body = await self._send("GET", attempt, ROUTE_PROGRESS)
            if status != HTTPStatus.OK:
                return None
            return Report(_parse(Progress, body, attempt), self._clock.now())
        except Unreachable:
            return None

    async def _send(self, verb: str, attempt: Attempt, route: str, message: Message | None = None) -> tuple[int, bytes]:
        address = _address(attempt)
        if address is None:
            raise Unreachable(f"{attempt.name}: rank 0 has no address")
        url = f"http://{f'[{address}]' if ':' in address else address}:{self._port}{route}"
        headers = {"Content-Type": "application/json"}
        if message is not None:
            headers["Authorization"] = f"Bearer {self._token(attempt)}"
        data = message.to_json() if message is not None else None
        try:
            async with self._session.request(verb, url, data=data, headers=headers, allow_redirects=False) as answer:
                return answer.status, await _body(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{attempt.name}: {verb} {route}: {error or type(error).__name__}") from error

    def _with_reports(self, view: JobView) -> JobView:
        return replace(view, attempts=tuple(self._with_report(attempt) for attempt in view.attempts))

    def _with_report(self, attempt: Attempt) -> Attempt:
        report = self._reports.get(attempt.record.metadata.uid)
        if report is None:
            return attempt
        return replace(attempt, progress=report.progress, progress_at=report.at, unreachable_polls=report.failures)


def _next(before: Report, answer: Report | None) -> Report:
    return answer if answer is not None else replace(before, failures=before.failures + 1)


def _address(attempt: Attempt) -> str | None:
    """Where rank 0 listens: the pod of index 0 that runs."""
    return next((pod.ip for pod in attempt.pods if pod.index == 0 and not pod.terminal and pod.ip), None)


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    """At most MAX_BODY bytes. Raises Unreachable for more."""
    body = bytearray()
    async for chunk in answer.content.iter_chunked(8192):
        body += chunk
        if len(body) > MAX_BODY:
            raise Unreachable(f"{answer.url.path}: more than {MAX_BODY} bytes")
    return bytes(body)


def _parse(kind: type[Answer], body: bytes, attempt: Attempt) -> Answer:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise Unreachable(f"{attempt.name}: not a {kind.__name__}: {error.errors()[0]['msg']}") from error
