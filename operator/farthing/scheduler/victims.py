"""Which gangs to stop for a job of higher priority: the set that makes room for it and loses the least work."""

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Final

from farthing.domain.plan import Allocation
from farthing.domain.scheduling import RunningGang
from farthing.scheduler.outlook import Outlook

MAX_EXACT: Final = 10
"""Up to so many gangs every set is looked at (2^10); beyond, the cheapest first until it fits, less those not needed."""


def loss(gang: RunningGang) -> float:
    """Accelerator-seconds that stopping the gang throws away: work since its checkpoint, and starting it again."""
    return gang.lost_work_seconds + gang.restart_seconds * gang.allocation.accelerators


def cheapest(
    allocation: Allocation, gangs: Iterable[RunningGang], outlook: Outlook, *, name: str, lasts: float
) -> tuple[RunningGang, ...] | None:
    """The gangs whose end lets `name` start with `allocation` at the least loss, or None where no set of them does.

    Room is judged once everything that is stopping has left, and a start that would delay a waiting job is none.
    """
    usable = [gang for gang in gangs if gang.allocation.pool == allocation.pool and gang.nodes]
    usable.sort(key=lambda gang: (loss(gang), gang.priority, gang.attempt))

    def makes_room(chosen: Sequence[RunningGang]) -> bool:
        after = outlook.stopping(gang.attempt for gang in chosen).emptied()
        return after.starts(name, allocation, lasts)

    if not makes_room(usable):
        return None
    if len(usable) > MAX_EXACT:
        return _without_needless(usable, makes_room)
    sets = (chosen for size in range(1, len(usable) + 1) for chosen in combinations(usable, size) if makes_room(chosen))
    return min(sets, key=lambda chosen: (sum(map(loss, chosen)), len(chosen), [gang.attempt for gang in chosen]), default=None)


def _without_needless(
    usable: Sequence[RunningGang], makes_room: Callable[[Sequence[RunningGang]], bool]
) -> tuple[RunningGang, ...]:
    """The cheapest first until they suffice, then, the dearest first, every one dropped that is not needed."""
    count = next(count for count in range(1, len(usable) + 1) if makes_room(usable[:count]))
    chosen = list(usable[:count])
    for gang in reversed(usable[:count]):
        fewer = [one for one in chosen if one is not gang]
        if fewer and makes_room(fewer):
            chosen = fewer
    return tuple(chosen)
