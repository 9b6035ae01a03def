"""Two operators: one dies and the other takes over in time; one sleeps over its lease, and nothing it still says counts."""

import asyncio
import signal
from dataclasses import dataclass

import pytest
from tests.controller.faults.life import Life, script, wanted
from tests.controller.faults.played import Troupe
from tests.controller.faults.room import PATIENCE_SECONDS, Kept, Room
from tests.support.faultproxy import DONE, Write
from tests.support.waiting import until

pytestmark = pytest.mark.controller

FAILOVER_SECONDS = 15.0
WRITES_OF_THE_OTHER = 12
"""More than the other one needs to pass the step at which the first fell asleep."""


async def test_failover_after_sigkill(rooms):
    """From the kill to the other's first write, in the middle of a life that ends as every other."""

    async def one(room: Room, _: int) -> float:
        async with (
            room.stage() as stage,
            Troupe(room.client, stage.namespace, script).playing() as troupe,
            stage.operator("operator-a") as first,
        ):
            living = asyncio.create_task(Life(stage, troupe).live())
            await _writes(first, 40)
            async with stage.operator("operator-b") as second:
                await _ready(second)
                begun = asyncio.get_running_loop().time()
                await first.end()
                await _writes(second, 1)
                took = asyncio.get_running_loop().time() - begun
                assert await living == wanted()
                await second.rests()
                return took

    took = await rooms.each(range(3), one)
    print(f"failover after SIGKILL: {', '.join(f'{each:.1f} s' for each in took)}")
    assert max(took) <= FAILOVER_SECONDS


@dataclass(frozen=True)
class Asleep:
    """The leader falls asleep while this write is under way."""

    verb: str
    resource: str
    number: int = 1
    """Which of its kind."""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource} {self.number}"


SLEEPS = (
    Asleep("PUT", "trainingbudgets/status"),
    Asleep("POST", "spendrecords"),
    Asleep("POST", "services"),
    Asleep("POST", "jobs", 2),
    Asleep("PUT", "spendrecords/status"),
    Asleep("PUT", "budgetedtrainingjobs/status", 2),
)


async def test_a_leader_that_slept_writes_nothing_that_counts(rooms):
    """Its last write arrives after the other one has gone on, and it wakes up believing that it leads."""

    async def one(room: Room, asleep: Asleep) -> None:
        async with (
            room.stage() as stage,
            Troupe(room.client, stage.namespace, script).playing() as troupe,
            stage.operator("operator-a") as first,
        ):
            sleep = Sleep(first, asleep)
            living = asyncio.create_task(Life(stage, troupe).live())
            await until(sleep.begun, f"operator-a sleeps at {asleep}", PATIENCE_SECONDS)
            async with stage.operator("operator-b") as second:
                await _writes(second, WRITES_OF_THE_OTHER)
                before = len(first.proxy.log.answers)
                sleep.end()
                assert await living == wanted()
                await second.rests()
                assert sleep.answer() not in DONE, "the write of a leader that slept over its lease changed something"
                late = [each for each in first.proxy.log.answers[before:] if each[1] in DONE]
                assert not late or first.process.log.read_text().count("operator-a leads") > 1, "it wrote and did not lead"

    await rooms.each(SLEEPS, one)


class Sleep:
    """SIGSTOP at a write that stays under way until the sleep ends."""

    def __init__(self, kept: Kept, asleep: Asleep) -> None:
        self._kept = kept
        self._asleep = asleep
        self._seen = 0
        self._over: asyncio.Event | None = None
        self._write: Write | None = None
        kept.proxy.detained = self._detained

    async def begun(self) -> bool:
        return self._over is not None

    def answer(self) -> int:
        """What the API server said of the write that was under way."""
        return next(status for write, status in self._kept.proxy.log.answers if write is self._write)

    def end(self) -> None:
        """The write arrives, and its sender wakes up."""
        assert self._over is not None
        self._over.set()
        self._kept.process.send(signal.SIGCONT)

    def _detained(self, write: Write) -> asyncio.Event | None:
        if (write.verb, write.resource) != (self._asleep.verb, self._asleep.resource) or self._over is not None:
            return None
        self._seen += 1
        if self._seen < self._asleep.number:
            return None
        self._write, self._over = write, asyncio.Event()
        self._kept.process.send(signal.SIGSTOP)
        return self._over


async def _ready(kept: Kept) -> None:
    async def ready() -> bool:
        log = kept.process.log
        return log.exists() and "caches are synced" in log.read_text()

    await until(ready, "the other operator's caches are synced", PATIENCE_SECONDS)


async def _writes(kept: Kept, count: int) -> None:
    """Until this operator has changed that much."""

    async def enough() -> bool:
        return sum(status in DONE for _, status in kept.proxy.log.answers) >= count

    await until(enough, f"{count} writes", PATIENCE_SECONDS)
