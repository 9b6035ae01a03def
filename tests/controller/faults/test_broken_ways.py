"""Watches that lose, delay, repeat and reorder; errors for answers, also after the deed; lists of yesterday: the same end."""

from dataclasses import dataclass, field

import pytest
from tests.controller.faults.deaths import lived
from tests.controller.faults.life import wanted
from tests.controller.faults.room import Room
from tests.support import faultproxy_answers as faults
from tests.support.faultproxy import DONE, FaultProxy, Write
from tests.support.faultproxy_answers import Answers, Lists
from tests.support.faultproxy_streams import Streams

pytestmark = pytest.mark.controller


@dataclass
class Trouble:
    """What is wrong with the way to the API server. `dies_every`: the operator dies with one write in so many."""

    name: str
    streams: Streams = field(default_factory=Streams)
    answers: Answers = field(default_factory=Answers)
    lists: Lists = field(default_factory=Lists)
    dies_every: int | None = None

    def __str__(self) -> str:
        return self.name

    def lay(self, proxy: FaultProxy) -> None:
        """Break the operator's way."""
        proxy.streams, proxy.answers, proxy.lists = self.streams, self.answers, self.lists
        proxy.deadly = self._deadly

    def _deadly(self, write: Write, status: int | None) -> bool:
        return self.dies_every is not None and status in DONE and write.number % self.dies_every == 0

    @property
    def count(self) -> int:
        """How often something went wrong."""
        return self.streams.befell.total() + self.answers.given + self.lists.given


def watch_troubles() -> list[Trouble]:
    """One of each, and all together."""
    shares = {"dropped": 0.2, "delayed": 0.3, "duplicated": 0.5, "reordered": 0.4, "cut": 0.1}
    alone = [Trouble(name, Streams((name,), share, seed)) for seed, (name, share) in enumerate(shares.items())]
    return [*alone, Trouble("all of it", Streams(tuple(shares), 0.3, 9))]


def answer_troubles() -> list[Trouble]:
    """Every error, and time-outs as the client knows them: a connection that breaks, and one that stays silent for 30 s."""
    every = (faults.CONFLICT, faults.THROTTLED, faults.BROKEN, faults.BROKEN_AFTER, faults.CUT, faults.CUT_AFTER)
    return [
        Trouble("409", answers=Answers([faults.CONFLICT], 0.2, 1)),
        Trouble("429", answers=Answers([faults.THROTTLED], 0.15, 2)),
        Trouble("500", answers=Answers([faults.BROKEN, faults.BROKEN_AFTER], 0.15, 3)),
        Trouble("time-out", answers=Answers([faults.CUT, faults.CUT_AFTER], 0.15, 4)),
        Trouble("all of it", answers=Answers(every, 0.2, 5)),
        Trouble("silence", answers=Answers([faults.SILENT_AFTER], 0.05, 6, most=1)),
    ]


async def test_broken_watches(rooms):
    await same_end(rooms, watch_troubles())


async def test_errors_in_place_of_answers(rooms):
    await same_end(rooms, answer_troubles())


async def test_stale_lists(rooms):
    stale = [Trouble(f"lists of yesterday, seed {seed}", lists=Lists(0.5, seed), dies_every=15) for seed in range(2)]
    await same_end(rooms, stale)


async def same_end(rooms, troubles: list[Trouble]) -> None:
    async def same(room: Room, trouble: Trouble) -> None:
        each = await lived(room, trouble)
        print(f"{trouble}: {trouble.count} faults, {len(each.deaths)} deaths, {each.writes} writes")
        assert trouble.count > 0
        assert each.end == wanted(), f"\nlived  {each.end}\nwanted {wanted()}"

    await rooms.each(troubles, same)
