"""The trainers of a life's pods. kwok starts and ends the pods; what a trainer would say of itself is said from here: its
control port on the pod's own address, and the last word that kwok leaves as termination message.

Nothing depends on time: a prepare ends as soon as it runs, a run makes five steps and stays until it is asked to stop, and one
that resumes lands at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from farthing.contract.handshake import CheckpointAnswer, CheckpointRequest, LeaseUpdate
from farthing.contract.names import (
    CONTROL_PORT,
    LABEL_ATTEMPT,
    LABEL_JOB,
    LABEL_STAGE,
    ROUTE_CHECKPOINT,
    ROUTE_LEASE,
    ROUTE_PROGRESS,
)
from farthing.contract.progress import CheckpointReport, LastWord, Progress, SecondsByCause
from farthing.kube import resources as of
from farthing.kube.client import Client
from farthing.kube.facts import INDEX
from farthing.local.kwok import FAKE_EXIT_CODE, FAKE_LAST_WORD, FAKE_SECONDS

STEPS = 5
TOKENS_OF_A_STEP = 1024
FLOPS_OF_A_STEP = 1e6
STARTED = "2026-11-24T12:00:00Z"

Part = Literal["finish", "stay"]
Script = Callable[[str, str, int], Part]
"""(job, stage, how many train attempts of the job have saved a checkpoint) → what this attempt does."""


@dataclass
class Trainer:
    """One attempt's trainer."""

    attempt: str
    stage: str
    resumed_from: int
    answer: CheckpointAnswer | None = None
    polled: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[str] = field(default_factory=list)

    @property
    def step(self) -> int:
        return self.resumed_from + STEPS if self.stage == "Train" else 0

    def progress(self, *, finished: bool = False) -> Progress:
        """What /progress and the last word say."""
        trains = self.stage == "Train"
        return Progress(
            attempt=self.attempt,
            stage=self.stage,  # type: ignore[arg-type]
            phase="Finished" if finished else "Training" if trains else "Preparing",
            started=STARTED,
            step=self.step,
            first_step=self.resumed_from + 1 if trains else None,
            resumed_from=self.resumed_from or None,
            tokens=self.step * TOKENS_OF_A_STEP,
            tokens_processed=STEPS * TOKENS_OF_A_STEP if trains else 0,
            flops=STEPS * FLOPS_OF_A_STEP if trains else 0,
            seconds=SecondsByCause(startup=1.0, train=1.0 if trains else 0.0),
            checkpoint=self._checkpoint() if trains else None,
            answer=self.answer,
            prepared_tokens=10_000_000 if not trains and finished else None,
            prepared_digest="sha256:prepared" if not trains and finished else None,
        )

    def last_word(self, *, finished: bool) -> LastWord:
        """The termination message: of one that has finished its stage, or of one that obeys SIGTERM."""
        ended = "Landed" if self.stage == "Train" else "Prepared"
        reason, code = (ended, 0) if finished else ("StoppedOnRequest", 143)
        return LastWord(exit_code=code, reason=reason, progress=self.progress(finished=finished))

    def ask(self, request: CheckpointRequest) -> CheckpointAnswer:
        """POST /checkpoint: the checkpoint of the last step stands already."""
        self.requests.append(request.id)
        if self.answer is None or self.answer.id != request.id:
            self.answer = CheckpointAnswer(
                id=request.id, state="Acknowledged", then=request.then, step=self.step, digest=f"sha256:{self.step}"
            )
        return self.answer

    def _checkpoint(self) -> CheckpointReport:
        return CheckpointReport(
            step=self.step, tokens=self.step * TOKENS_OF_A_STEP, uri=f"memory://checkpoints/{self.step}",
            digest=f"sha256:{self.step}", time=STARTED, seconds=1.0, bytes=1024,
        )  # fmt: skip


class Troupe:
    """Every trainer of one namespace, and every pod as it was seen last."""

    def __init__(self, client: Client, namespace: str, script: Script) -> None:
        self._client = client
        self._namespace = namespace
        self._script = script
        self._runners: dict[str, web.AppRunner] = {}
        self._saved: dict[str, int] = {}
        self.trainers: dict[str, Trainer] = {}
        """By attempt."""
        self.pods: dict[str, dict[str, dict[str, Any]]] = {}
        """By attempt and UID: the evidence that a bill is compared with."""

    @asynccontextmanager
    async def playing(self) -> AsyncIterator["Troupe"]:
        """Play until the block ends."""
        task = asyncio.create_task(self._watch(), name=f"troupe-{self._namespace}")
        try:
            yield self
        finally:
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            for runner in self._runners.values():
                await runner.cleanup()
            if isinstance(ended, Exception):
                raise ended

    async def _watch(self) -> None:
        path = of.PODS.path(self._namespace)
        items, version = await self._client.list_versioned(path)
        assert not items, "the namespace is new"
        while True:
            async for event in self._client.watch(path, version):
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] in ("ADDED", "MODIFIED"):
                    await self._see(event["object"])

    async def _see(self, pod: dict[str, Any]) -> None:
        """Remember the pod; where it runs and has no part yet, give it one."""
        labels, meta = pod["metadata"]["labels"], pod["metadata"]
        self.pods.setdefault(labels[LABEL_ATTEMPT], {})[meta["uid"]] = pod
        if pod["status"].get("phase") in ("Succeeded", "Failed") and labels[INDEX] == "0":
            await self._off_the_air(labels[LABEL_ATTEMPT])
        new = pod["status"].get("phase") == "Running" and FAKE_LAST_WORD not in meta.get("annotations", {})
        if not new or meta.get("deletionTimestamp"):
            return
        trainer = await self._trainer(pod, labels[LABEL_ATTEMPT], labels[LABEL_STAGE], labels[LABEL_JOB])
        finishes = self._script(labels[LABEL_JOB], labels[LABEL_STAGE], trainer.resumed_from // STEPS) == "finish"
        if trainer.stage == "Train":
            self._saved[labels[LABEL_JOB]] = trainer.step
        ending = {FAKE_SECONDS: "0s", FAKE_EXIT_CODE: "0"} if finishes else {}
        await self._annotate(pod, {FAKE_LAST_WORD: trainer.last_word(finished=finishes).to_json(), **ending})

    async def _trainer(self, pod: dict[str, Any], attempt: str, stage: str, job: str) -> Trainer:
        """The attempt's trainer; on the air at the address of rank 0."""
        if attempt not in self.trainers:
            self.trainers[attempt] = Trainer(attempt, stage, self._saved.get(job, 0) if stage == "Train" else 0)
        if pod["metadata"]["labels"][INDEX] == "0":
            self._runners[attempt] = await self._serve(self.trainers[attempt], pod["status"]["podIP"])
        return self.trainers[attempt]

    async def _off_the_air(self, attempt: str) -> None:
        """Rank 0 is gone; the next pod may get its address."""
        if (runner := self._runners.pop(attempt, None)) is not None:
            await runner.cleanup()

    async def _annotate(self, pod: dict[str, Any], annotations: dict[str, str]) -> None:
        await self._client.patch(of.PODS.of(pod), {"metadata": {"annotations": annotations}})

    async def _serve(self, trainer: Trainer, address: str) -> web.AppRunner:
        async def progress(_: web.Request) -> web.Response:
            trainer.polled.set()
            return web.Response(body=trainer.progress().to_json())

        async def checkpoint(request: web.Request) -> web.Response:
            answer = trainer.ask(CheckpointRequest.model_validate_json(await request.read()))
            for pod in self.pods[trainer.attempt].values():
                await self._annotate(pod, {FAKE_LAST_WORD: trainer.last_word(finished=False).to_json()})
            return web.Response(body=answer.to_json())

        async def lease(request: web.Request) -> web.Response:
            LeaseUpdate.model_validate_json(await request.read())
            return web.Response(body=b"{}")

        app = web.Application()
        routes = (web.get(ROUTE_PROGRESS, progress), web.post(ROUTE_CHECKPOINT, checkpoint), web.post(ROUTE_LEASE, lease))
        app.add_routes(routes)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, address, CONTROL_PORT).start()
        return runner
