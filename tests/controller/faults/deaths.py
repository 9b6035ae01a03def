"""When operators die, and what a life under a fault comes to."""

import random
from dataclasses import dataclass
from typing import Protocol

from tests.controller.faults.life import End, Life, script
from tests.controller.faults.played import Troupe
from tests.controller.faults.room import Room
from tests.support.faultproxy import DONE, FaultProxy, Moment, Write

MOST_WRITES = 3


@dataclass(frozen=True)
class Unharmed:
    """No fault at all."""

    def lay(self, proxy: FaultProxy) -> None:
        """Leave the way as it is."""


@dataclass(frozen=True)
class Once:
    """The operator dies at write `number`."""

    number: int
    moment: Moment

    def lay(self, proxy: FaultProxy) -> None:
        """Lie in wait for it."""
        proxy.deadly = self._deadly

    def _deadly(self, write: Write, status: int | None) -> bool:
        return write.number == self.number and (status is None) == (self.moment == "before")


@dataclass(frozen=True)
class FirstOfEach:
    """The operator dies at the first write of every kind, which is its verb and its resource."""

    moment: Moment

    def lay(self, proxy: FaultProxy) -> None:
        """Lie in wait for each."""
        met: set[str] = set()

        def deadly(write: Write, status: int | None) -> bool:
            kind, now = f"{write.verb} {write.resource}", status is None if self.moment == "before" else status in DONE
            if not now or kind in met:
                return False
            met.add(kind)
            return True

        proxy.deadly = deadly


@dataclass(frozen=True)
class Always:
    """No operator lives longer than three writes that change something: it dies with its last, or before one more, by seed.

    One write each would never start anything: a hold that a start left behind is dropped before it is made anew, so that a
    start takes two writes of one operator, hold and record. In any fixed turn the short lives could meet the same step forever.
    """

    moment: Moment

    def lay(self, proxy: FaultProxy) -> None:
        """Lie in wait for every one."""
        proxy.deadly = self._deadly

    def _deadly(self, write: Write, status: int | None) -> bool:
        lasts = random.Random(write.process).randint(1, MOST_WRITES)
        if self.moment == "before":
            return status is None and write.changed_before >= lasts
        return status in DONE and write.changed_before + 1 >= lasts


class Fault(Protocol):
    """Something that is wrong between an operator and the API server."""

    def lay(self, proxy: FaultProxy) -> None: ...


@dataclass(frozen=True)
class Lived:
    """What became of a life."""

    end: End
    writes: int
    kinds: frozenset[str]
    """Verb and resource of every write."""
    deaths: tuple[Write, ...]


async def lived(room: Room, fault: Fault) -> Lived:
    """A life under this fault. Then the way to the API server is mended, and the operator must come to rest."""
    async with (
        room.stage() as stage,
        Troupe(room.client, stage.namespace, script).playing() as troupe,
        stage.operator(prepare=fault.lay) as kept,
    ):
        end = await Life(stage, troupe).live()
        log, deaths = kept.proxy.log, tuple(write for write, _ in kept.proxy.killed)
        result = Lived(end, len(log.answers), frozenset(log.kinds()), deaths)
        kept.proxy.mend()
        await kept.rests()
        return result
