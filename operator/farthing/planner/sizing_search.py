"""The search behind node-pool sizing: over orders of jobs, their options and earliest starts, depth first, with a bound.

Jobs are started one after another, each as early as the ones before leave room, over all orders and options (some such order is
optimal, for nothing is gained by a start that could be moved forward), depth first, best option first, and drops a
branch that cannot beat the best found. It is exact when it ends within `limit` placements looked at (`SizingPlan.exact`): as a
rule for up to five jobs of six options that compete, and at once for any number that do not. Otherwise the best found stands.
It counts placements, not seconds: the same question has the same answer everywhere.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf

from farthing.planner.sizing_plan import ROUNDING, Placement, SizingJob, SizingOption, used

Placed = tuple[tuple[int, Placement], ...]
"""Placements so far, each with its job's index, in the order in which they were started."""


Profile = tuple[tuple[float, float], ...]
"""Nodes of a pool in use over time."""

Score = tuple[float, float, float]
"""Larger is better, in lexical order: value, then −ends, then −cost."""


class Search:
    """Depth-first search over orders, options and earliest starts, with a bound."""

    def __init__(
        self,
        options: Sequence[Sequence[SizingOption]],
        jobs: Sequence[SizingJob],
        nodes: Mapping[str, int],
        holding: Sequence[Placement],
    ) -> None:
        self.options, self.jobs, self.nodes, self.holding = options, jobs, nodes, tuple(holding)
        self.tops = [_top(each) for each in options]
        self.bound: Score = _plus((0.0, 0.0, 0.0), self.tops)
        self.best: tuple[Score, Placed] = ((0.0, 0.0, 0.0), ())
        self.looks = 0
        self.seen: set[frozenset[tuple[int, SizingOption, float]]] = set()

    def run(self, money: float, limit: int) -> bool:
        """Whether the search ended within `limit` looks; `best` holds what it found."""
        root: Iterator[Placed] = iter([()])
        stack = [root]
        while stack and self.looks < limit:
            placed = next(stack[-1], None)
            if placed is None:
                stack.pop()
                continue
            self._keep(placed)
            if not _better(self.bound, self.best[0]):
                return True
            stack.append(self._children(placed, money, limit))
        return not stack

    def _keep(self, placed: Placed) -> None:
        score = _score([placement for _, placement in placed])
        if _better(score, self.best[0]):
            self.best = (score, placed)

    def _children(self, placed: Placed, money: float, limit: int) -> Iterator[Placed]:
        """Every way to start one job more that may still lead to a better end."""
        taken = {index for index, _ in placed}
        standing = [placement for _, placement in placed]
        left = money - sum(placement.option.cost or 0.0 for placement in standing)
        profiles = {pool: _profile(pool, (*self.holding, *standing)) for pool in self.nodes}
        others = [top for index, top in enumerate(self.tops) if index not in taken]
        hope = _plus(_score(standing), others)
        for index in range(len(self.jobs)):
            if index in taken:
                continue
            for option in self.options[index]:
                if self.looks >= limit:
                    return
                self.looks += 1
                placement = self._earliest(index, option, profiles[option.pool], left)
                if placement is None or not self._promising(hope, index, placement):
                    continue
                child = (*placed, (index, placement))
                key = frozenset((i, p.option, p.start_seconds) for i, p in child)
                if key not in self.seen:
                    self.seen.add(key)
                    yield child

    def _earliest(self, index: int, option: SizingOption, profile: Profile, left: float) -> Placement | None:
        """The earliest start beside those placed, or None where budget or deadline rule the option out."""
        if (option.cost or 0.0) > left * (1.0 + 1e-12):
            return None
        start = _first_fit(profile, self.nodes[option.pool] - option.nodes + ROUNDING, option.held_seconds)
        deadline = self.jobs[index].deadline_seconds
        placement = Placement(self.jobs[index].name, option, start)
        return None if deadline is not None and placement.end_seconds > deadline else placement

    def _promising(self, hope: Score, index: int, placement: Placement) -> bool:
        """Whether the best that could follow, every other job on its best option at once, beats the best found."""
        value, ends, cost = hope
        top = self.tops[index]
        mine = _score([placement])
        return _better((value - top[0] + mine[0], ends - top[1] + mine[1], cost - top[2] + mine[2]), self.best[0])


def _profile(pool: str, placed: Sequence[Placement]) -> Profile:
    """(second, nodes in use from then on), from second 0 to the last end."""
    mine = [each for each in placed if each.option.pool == pool]
    moments = sorted({0.0, *(each.start_seconds for each in mine), *(each.end_seconds for each in mine)})
    return tuple((moment, used(mine, pool, moment)) for moment in moments)


def _first_fit(profile: Profile, room: float, seconds: float) -> float:
    """The first second from which on use stays within `room` for that long. Room there must be: options fit empty pools."""
    start = inf
    for moment, held in profile:
        if moment - start >= seconds:
            return start
        start = inf if held > room else min(start, moment)
    return start


def _score(placed: Sequence[Placement]) -> Score:
    value = sum(p.option.value for p in placed)
    return (value, -sum(p.end_seconds for p in placed), -sum(p.option.cost or 0.0 for p in placed))


def _top(options: Sequence[SizingOption]) -> Score:
    """The most that a job can add: its best option at once, or nothing. Options come best first."""
    if not options or options[0].value <= 0.0:
        return (0.0, 0.0, 0.0)
    return _score([Placement("", options[0], 0.0)])


def _plus(score: Score, others: Iterable[Score]) -> Score:
    value, ends, cost = score
    for more_value, more_ends, more_cost in others:
        value, ends, cost = value + more_value, ends + more_ends, cost + more_cost
    return (value, ends, cost)


def _better(one: Score, other: Score) -> bool:
    """Lexically greater, differences below rounding set aside."""
    for mine, its in zip(one, other, strict=True):
        if abs(mine - its) > 1e-9 * max(1.0, abs(mine), abs(its)):
            return mine > its
    return False
