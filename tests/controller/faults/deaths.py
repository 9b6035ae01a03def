"""When operators die, and what a life under such a fault comes to."""

from dataclasses import dataclass

from tests.controller.faults.life import End, live, script
from tests.controller.faults.played import Troupe
from tests.controller.faults.room import Room
from tests.support.faultproxy import DONE, Moment, Write


@dataclass(frozen=True)
class Never:
    """An unharmed life."""

    def deadly(self, write: Write, status: int | None) -> bool:
        return False


@dataclass(frozen=True)
class Once:
    """The operator dies at write `number`."""

    number: int
    moment: Moment

    def deadly(self, write: Write, status: int | None) -> bool:
        return write.number == self.number and (status is None) == (self.moment == "before")


@dataclass(frozen=True)
class Always:
    """No operator lives longer than one write that changes something: it dies with it, or just before the next one."""

    moment: Moment

    def deadly(self, write: Write, status: int | None) -> bool:
        if self.moment == "before":
            return status is None and write.changed_before > 0
        return status in DONE


Death = Never | Once | Always


@dataclass(frozen=True)
class Lived:
    """A life and its deaths."""

    end: End
    writes: int
    kinds: frozenset[str]
    deaths: tuple[Write, ...]


async def lived(room: Room, death: Death) -> Lived:
    """A life under this fault; the last operator comes to rest."""
    async with (
        room.stage() as stage,
        Troupe(room.client, stage.namespace, script).playing() as troupe,
        stage.operator() as kept,
    ):
        kept.proxy.deadly = death.deadly
        end = await live(stage, troupe, kept)
        log = kept.proxy.log
        return Lived(end, len(log.answers), frozenset(log.kinds()), tuple(write for write, _ in kept.proxy.killed))
