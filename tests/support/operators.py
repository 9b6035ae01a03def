"""Operators of one in-memory cluster, of which one leads: it may die, be paused in mid-write, or be replaced at any moment."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.support.lives import PERIOD, PLANNER, SETTINGS

from farthing.engine.cycle import CycleReport, cycle
from farthing.scheduler.policy import policy
from farthing.settings import Settings
from farthing.simulator.cluster import Cluster
from farthing.simulator.faults import Crash, Meanwhile, OperatorDied, WrongClock
from farthing.simulator.watches import KINDS
from farthing.simulator.world import InMemoryWorld

Result = TypeVar("Result")


def at_once(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine that waits for nothing, as none does in memory; so it may run inside another one."""
    try:
        work.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    work.close()
    raise AssertionError("it waits for something outside the in-memory world")


class Operators:
    """Who leads, with what in its head, and by which clock."""

    def __init__(self, cluster: Cluster, *, native_gangs: bool, settings: Settings = SETTINGS) -> None:
        self.cluster = cluster
        self.native_gangs = native_gangs
        self.settings = settings
        self.clock = WrongClock(cluster.clock)
        self.leader = self.newcomer()

    @property
    def undisturbed(self) -> bool:
        """Whether the leader sees the truth and nothing is about to happen to it."""
        writes = self.leader.writes
        return self.leader.watches.up_to_date and writes.crash is None and writes.meanwhile is None

    def newcomer(self) -> InMemoryWorld:
        """An operator with nothing in its head."""
        return InMemoryWorld(self.cluster, native_gangs=self.native_gangs, clock=self.clock)

    def take_over(self) -> None:
        """The leader is gone; another process leads."""
        self.leader = self.newcomer()

    def cycle(self) -> CycleReport | None:
        """One pass of the leader; None where it died in it, and another one leads now."""
        return self.cycle_of(self.leader)

    def cycle_of(self, world: InMemoryWorld) -> CycleReport | None:
        """One pass of this operator, leader or not."""
        try:
            return at_once(cycle(world, policy(), PLANNER, self.settings, self.clock))
        except OperatorDied:
            if world is self.leader:
                self.take_over()
            return None

    def run(self, cycles: int, period: float = PERIOD, step: float = 1.0) -> None:
        """So many passes, with time in between, which passes `step` seconds at once."""
        for _ in range(cycles):
            self.cycle()
            self.cluster.advance(period, step)

    def settle_down(self, most: int = 40) -> None:
        """Passes at one moment until one does nothing, and one more, which has to write nothing. Fails where they never end."""
        for _ in range(most):
            report = self.cycle()
            if report is not None and report.quiet:
                before = len(self.leader.writes.log)
                self.cycle()
                assert self.leader.writes.log[before:] == [], "the second cycle over the same state writes"
                return
        raise AssertionError(f"still busy after {most} cycles at one moment: {report}")

    def die_at(self, crash: Crash) -> None:
        """The leader will die at this write, counted from now."""
        self.leader.writes.crash = Crash(self.leader.writes.count + crash.at, crash.when)

    def pause_at(self, write: int, cycles: int) -> None:
        """The leader will be stopped before this write (counted from now), past its lease: another one leads for so many
        cycles; then it wakes, knows nothing of it, and goes on with its write."""
        paused = self.leader
        paused.writes.meanwhile = Meanwhile(paused.writes.count + write, lambda: self._meanwhile(paused, cycles))

    def _meanwhile(self, paused: InMemoryWorld, cycles: int) -> None:
        paused.writes.meanwhile = None
        if paused is self.leader:
            self.take_over()
        self.run(cycles)

    def blindfolded(self) -> InMemoryWorld:
        """One that led once, and will never see anything newer than this moment."""
        former = self.newcomer()
        former.watches.look()
        former.watches.hang(*KINDS)
        return former
