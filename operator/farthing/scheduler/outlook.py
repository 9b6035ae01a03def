"""The outlook on a cluster's capacity: what is free now, what becomes free when, and for whom it is kept.

Seconds count from the view's `now`. Gangs that are stopping leave in second 0: what is free *at* 0 is what is free *now* and
what they hold. A reservation keeps room for a job that waits, from the second at which it can start.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf

from farthing.domain.plan import Allocation
from farthing.domain.scheduling import NodeCapacity, RunningGang, SchedulingView
from farthing.scheduler.feasibility import freed, place, taken

Nodes = tuple[NodeCapacity, ...]


@dataclass(frozen=True, slots=True)
class Occupant:
    """A gang that holds seats on a pool and leaves after `ends_in` seconds."""

    name: str
    pool: str
    seats: tuple[str, ...]
    accelerators_per_pod: int
    ends_in: float


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room that is kept for a waiting job from the second `at` on."""

    key: str
    allocation: Allocation
    at: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """Immutable: every change gives a new one, so that a plan can be tried and dropped."""

    free: dict[str, Nodes]
    occupants: tuple[Occupant, ...] = ()
    reservations: tuple[Reservation, ...] = ()

    @staticmethod
    def of(view: SchedulingView) -> "Outlook":
        """The view's own; pods that are not bound yet are given the seats they are about to take."""
        outlook = Outlook({pool.name: pool.nodes for pool in view.pools})
        for gang in sorted(view.running, key=lambda gang: gang.attempt):
            outlook = outlook._with_gang(gang)
        return outlook

    def now(self, pool: str) -> Nodes:
        """What is free on the pool at this moment."""
        return self.free.get(pool, ())

    def at(self, pool: str, second: float) -> Nodes:
        """What will be free at that second, less what is kept for waiting jobs by then."""
        nodes = self.now(pool)
        for occupant in self.occupants:
            if occupant.pool == pool and occupant.ends_in <= second:
                nodes = freed(nodes, occupant.seats, occupant.accelerators_per_pod)
        for reservation in self.reservations:
            if reservation.allocation.pool == pool and reservation.at <= second:
                seats = place(reservation.allocation, nodes) or ()
                nodes = taken(nodes, seats, reservation.allocation.accelerators_per_pod)
        return nodes

    def earliest(self, allocation: Allocation) -> float:
        """The first second at which the gang fits without delaying a reservation; infinite where it never does."""
        ends = sorted({0.0} | {max(0.0, occupant.ends_in) for occupant in self.occupants if occupant.pool == allocation.pool})
        return next((second for second in ends if place(allocation, self.at(allocation.pool, second)) is not None), inf)

    def delayed_by(self, name: str, allocation: Allocation, lasts: float) -> str | None:
        """The first waiting job that a gang started now, for `lasts` seconds, would delay; None where it delays nobody."""
        started = self.starting(name, allocation, lasts)
        for index, reservation in enumerate(self.reservations):
            if reservation.allocation.pool != allocation.pool:
                continue
            before = replace(started, reservations=self.reservations[:index])
            if place(reservation.allocation, before.at(allocation.pool, reservation.at)) is None:
                return reservation.key
        return None

    def starting(self, name: str, allocation: Allocation, lasts: float) -> "Outlook":
        """The outlook after the gang took its seats now. The gang must fit."""
        seats = place(allocation, self.now(allocation.pool))
        if seats is None:
            raise ValueError(
                f"{name}: {allocation.pods} pods of {allocation.accelerators_per_pod} do not fit on {allocation.pool}"
            )
        nodes = taken(self.now(allocation.pool), seats, allocation.accelerators_per_pod)
        occupant = Occupant(name, allocation.pool, seats, allocation.accelerators_per_pod, lasts)
        return replace(self, free={**self.free, allocation.pool: nodes}, occupants=(*self.occupants, occupant))

    def stopping(self, attempts: Iterable[str]) -> "Outlook":
        """The outlook after these attempts were asked to stop: they leave in second 0."""
        leaving = set(attempts)
        occupants = tuple(replace(one, ends_in=0.0) if one.name in leaving else one for one in self.occupants)
        return replace(self, occupants=occupants)

    def emptied(self) -> "Outlook":
        """The outlook of second 0: whatever is stopping has left."""
        leaving = [one for one in self.occupants if one.ends_in <= 0.0]
        free = dict(self.free)
        for one in leaving:
            free[one.pool] = freed(free.get(one.pool, ()), one.seats, one.accelerators_per_pod)
        return replace(self, free=free, occupants=tuple(one for one in self.occupants if one.ends_in > 0.0))

    def starts(self, name: str, allocation: Allocation, lasts: float) -> bool:
        """Whether the gang fits now and, run for `lasts` seconds, delays no job that waits."""
        return place(allocation, self.now(allocation.pool)) is not None and self.delayed_by(name, allocation, lasts) is None

    def reserving(self, key: str, allocation: Allocation, at: float) -> "Outlook":
        """The outlook with room kept for a waiting job; a job that can never start is kept none."""
        if at == inf:
            return self
        return replace(self, reservations=(*self.reservations, Reservation(key, allocation, at)))

    def _with_gang(self, gang: RunningGang) -> "Outlook":
        seats, nodes, size = gang.nodes, self.now(gang.allocation.pool), gang.allocation.accelerators_per_pod
        missing = 0 if gang.stopping else gang.allocation.pods - len(gang.nodes)
        for _ in range(missing):
            seat = place(replace(gang.allocation, pods=1), nodes)
            if seat is None:
                break
            nodes, seats = taken(nodes, seat, size), (*seats, *seat)
        ends_in = 0.0 if gang.stopping else gang.remaining_seconds
        occupant = Occupant(gang.attempt, gang.allocation.pool, seats, size, ends_in)
        return replace(self, free={**self.free, gang.allocation.pool: nodes}, occupants=(*self.occupants, occupant))
