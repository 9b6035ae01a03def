"""How many nodes of which pool, from when and for how long: for one job, and for a set of jobs under budgets and deadlines.

Each job brings the ways to run it (`SizingOption`: so many nodes of a pool take so long, cost so much and are worth so much);
each pool has so many nodes. Chosen is at most one option and a start for each job so that no pool is ever asked for more than
it has, every job ends by its deadline, and neither a job's nor the common budget is exceeded. Best is the largest total value,
then the least sum of ends, then the least cost, then the first in order of input.

The search starts jobs one after another, each as early as the ones before leave room, over all orders and options (some such
order is optimal, for nothing is gained by a start that could be moved forward), depth first, best option first, and drops a
branch that cannot beat the best found. It is exact when it ends within `limit` placements looked at (`SizingPlan.exact`): as a
rule for up to five jobs of six options that compete, and at once for any number that do not. Otherwise the best found stands.
It counts placements, not seconds: the same question has the same answer everywhere.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import ceil, inf, isfinite

from farthing.errors import InvalidSpec, MissingPrice

LOOKS = 20_000
"""Placements looked at before the best found is taken: 0.2 s where a dozen jobs compete, 4 s where a hundred do."""
ROUNDING = 1e-9
"""Shares of nodes that add up to a whole one may miss it by this much."""


@dataclass(frozen=True, slots=True)
class SizingOption:
    """One way to run a job. Its own values must be finite and at least 0."""

    pool: str
    nodes: float
    """Held; a part of one where a gang leaves room for others on its node."""
    seconds: float
    """Of training, saves included."""
    startup_seconds: float
    """Schedule, pull, import, rendezvous, load: the nodes are held meanwhile."""
    cost: float | None
    """Expected, of the whole hold; None where the pool has no price."""
    value: float
    """What the end is worth, in one unit for all jobs: for example weight × nats of loss saved."""

    @property
    def held_seconds(self) -> float:
        """How long the nodes are held: start-up and training."""
        return self.startup_seconds + self.seconds


@dataclass(frozen=True, slots=True)
class SizingJob:
    """A job to place. Times count from now."""

    name: str
    options: tuple[SizingOption, ...]
    budget: float | None = None
    """Most that it may cost; None: unlimited."""
    deadline_seconds: float | None = None
    """Until which it must have ended; None: none."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What one job gets: `option.nodes` of `option.pool` from `start_seconds` for `option.held_seconds`."""

    job: str
    option: SizingOption
    start_seconds: float

    @property
    def end_seconds(self) -> float:
        """When its nodes are free again."""
        return self.start_seconds + self.option.held_seconds


@dataclass(frozen=True, slots=True)
class Gain:
    """What a change brings: value more, sum of ends earlier, cost less (negative: more)."""

    value: float
    seconds: float
    cost: float


@dataclass(frozen=True, slots=True)
class SizingPlan:
    """The placements in order of start, what they come to, and why the other jobs are left out."""

    placements: tuple[Placement, ...]
    unplaced: Mapping[str, str]
    """By job, the constraint that keeps it out and by how much."""
    exact: bool
    """Whether the search ended: nothing better exists. False: the best found within the limit."""
    marginal: Mapping[str, Gain] = field(default_factory=dict)
    """By pool, the gain from one node more; a difference of two best-found plans where `exact` is False."""

    @property
    def value(self) -> float:
        """Sum over the placed jobs."""
        return sum(placement.option.value for placement in self.placements)

    @property
    def cost(self) -> float:
        """Sum over the placed jobs; those without a price count nothing."""
        return sum(placement.option.cost or 0.0 for placement in self.placements)

    @property
    def ends(self) -> float:
        """Sum of the ends, in seconds."""
        return sum(placement.end_seconds for placement in self.placements)

    @property
    def node_seconds(self) -> Mapping[str, float]:
        """By pool, nodes × seconds held."""
        held: dict[str, float] = {}
        for placement in self.placements:
            option = placement.option
            held[option.pool] = held.get(option.pool, 0.0) + option.nodes * option.held_seconds
        return held

    def nodes_at(self, pool: str, moment: float) -> int:
        """Whole nodes of the pool in use at that second."""
        return ceil(_used(self.placements, pool, moment) - ROUNDING)

    def peak_nodes(self, pool: str) -> int:
        """Most nodes of the pool in use at once: what an autoscaler must bring up."""
        mine = (placement for placement in self.placements if placement.option.pool == pool)
        return max((self.nodes_at(pool, placement.start_seconds) for placement in mine), default=0)


def size(
    jobs: Sequence[SizingJob],
    nodes: Mapping[str, int],
    *,
    budget: float | None = None,
    limit: int = LOOKS,
    marginals: bool = True,
    holding: Sequence[Placement] = (),
) -> SizingPlan:
    """The best placement of `jobs` on pools of `nodes` nodes under the common `budget`, with each pool's marginal gain.

    `holding`: what runs already and keeps its nodes until it ends; no part of the answer, and paid from elsewhere.
    Raises InvalidSpec for a number out of range or two jobs of one name, MissingPrice where money is limited and an option that
    would count has no cost: it names the pool whose price to add.
    """
    _check(jobs, budget)
    plan = _solve(jobs, nodes, budget, limit, holding)
    if not marginals:
        return plan
    more = {pool: {**nodes, pool: nodes[pool] + 1} for pool in sorted(nodes)}
    gains = {pool: _gain(plan, _solve(jobs, raised, budget, limit, holding)) for pool, raised in more.items()}
    return replace(plan, marginal=gains)


def size_one(job: SizingJob, nodes: Mapping[str, int]) -> SizingPlan:
    """`size` of one job: its best option that fits pools, budget and deadline."""
    return size((job,), nodes)


def next_nodes(job: SizingJob, pool: str) -> tuple[tuple[float, float, Gain], ...]:
    """(nodes, next larger number, gain per node between them) along one pool, by the best option of each number of nodes."""
    best: dict[float, SizingOption] = {}
    for option in job.options:
        if option.pool == pool and (option.nodes not in best or _rank(option) < _rank(best[option.nodes])):
            best[option.nodes] = option
    steps = sorted(best)
    return tuple((few, more, _per_node(best[few], best[more])) for few, more in pairwise(steps))


Placed = tuple[tuple[int, Placement], ...]
"""Placements so far, each with its job's index, in the order in which they were started."""


Profile = tuple[tuple[float, float], ...]
"""Nodes of a pool in use over time."""

Score = tuple[float, float, float]
"""Larger is better, in lexical order: value, then −ends, then −cost."""


class _Search:
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


def _solve(
    jobs: Sequence[SizingJob], nodes: Mapping[str, int], budget: float | None, limit: int, holding: Sequence[Placement]
) -> SizingPlan:
    money = inf if budget is None else budget
    options = [_useful(job, nodes, money) for job in jobs]
    search = _Search(options, jobs, nodes, holding)
    exact = search.run(money, limit)
    placed = sorted(search.best[1], key=lambda pair: (pair[1].start_seconds, pair[0]))
    done = {index for index, _ in placed}
    unplaced = {job.name: _reason(job, nodes, money, bool(options[i])) for i, job in enumerate(jobs) if i not in done}
    return SizingPlan(tuple(placement for _, placement in placed), unplaced, exact)


def _useful(job: SizingJob, nodes: Mapping[str, int], money: float) -> list[SizingOption]:
    """The options that could run alone and that none other beats in all respects, best first."""
    alone = [option for option in job.options if not _obstacle(job, option, nodes, money)]
    kept: list[SizingOption] = []
    for option in sorted(alone, key=_rank):
        if not any(_dominates(other, option) for other in kept):
            kept.append(option)
    return kept


def _dominates(one: SizingOption, other: SizingOption) -> bool:
    return (
        one.pool == other.pool
        and one.nodes <= other.nodes
        and one.held_seconds <= other.held_seconds
        and (one.cost or 0.0) <= (other.cost or 0.0)
        and one.value >= other.value
    )


def _obstacle(job: SizingJob, option: SizingOption, nodes: Mapping[str, int], money: float) -> str:
    """What keeps the option out even on empty pools; empty where nothing does."""
    has = nodes.get(option.pool, 0)
    if option.nodes > has + ROUNDING:
        return f"{option.pool}: nodes (needs {option.nodes:g} of {has})"
    if job.deadline_seconds is not None and option.held_seconds > job.deadline_seconds:
        return f"{option.pool}: deadline (needs {option.held_seconds:.4g} s of {job.deadline_seconds:.4g})"
    purse = min(money, inf if job.budget is None else job.budget)
    if (option.cost or 0.0) > purse:
        return f"{option.pool}: budget (needs {option.cost:.4g} of {purse:.4g})"
    return ""


def _reason(job: SizingJob, nodes: Mapping[str, int], money: float, possible: bool) -> str:
    """What keeps a job out that found no place: told of its option on the fewest nodes, where nothing of it could run alone."""
    if not job.options:
        return "no option was given"
    if possible:
        return "other jobs are worth more of the nodes, the time or the money"
    easiest = min(job.options, key=lambda option: (option.nodes, _rank(option)))
    return _obstacle(job, easiest, nodes, money)


def _profile(pool: str, placed: Sequence[Placement]) -> Profile:
    """(second, nodes in use from then on), from second 0 to the last end."""
    mine = [each for each in placed if each.option.pool == pool]
    moments = sorted({0.0, *(each.start_seconds for each in mine), *(each.end_seconds for each in mine)})
    return tuple((moment, _used(mine, pool, moment)) for moment in moments)


def _first_fit(profile: Profile, room: float, seconds: float) -> float:
    """The first second from which on use stays within `room` for that long. Room there must be: options fit empty pools."""
    start = inf
    for moment, used in profile:
        if moment - start >= seconds:
            return start
        start = inf if used > room else min(start, moment)
    return start


def _used(placed: Sequence[Placement], pool: str, moment: float) -> float:
    return sum(p.option.nodes for p in placed if p.option.pool == pool and p.start_seconds <= moment < p.end_seconds)


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


def _rank(option: SizingOption) -> tuple[float, float, float, float, str]:
    return (-option.value, option.held_seconds, option.cost or 0.0, option.nodes, option.pool)


def _gain(before: SizingPlan, after: SizingPlan) -> Gain:
    return Gain(after.value - before.value, before.ends - after.ends, before.cost - after.cost)


def _per_node(few: SizingOption, more: SizingOption) -> Gain:
    step = more.nodes - few.nodes
    cost = (few.cost or 0.0) - (more.cost or 0.0)
    return Gain((more.value - few.value) / step, (few.held_seconds - more.held_seconds) / step, cost / step)


def _check(jobs: Sequence[SizingJob], budget: float | None) -> None:
    names = [job.name for job in jobs]
    if len(set(names)) != len(names):
        raise InvalidSpec("jobs", sorted(names), "give every job a name of its own")
    for job in jobs:
        for option in job.options:
            _check_option(job, option, counts=job.budget is not None or budget is not None)


def _check_option(job: SizingJob, option: SizingOption, counts: bool) -> None:
    if option.cost is None and counts:
        raise MissingPrice(
            f"spec.price: pool {option.pool} has none, and a budget of money bounds the job {job.name}: set "
            "perAcceleratorHour, currency and source on the pool, or leave its options out"
        )
    numbers = (option.seconds, option.startup_seconds, option.cost or 0.0, option.value)
    if option.nodes <= 0 or not all(isfinite(number) and number >= 0 for number in numbers):
        raise InvalidSpec(f"{job.name}.options", option, "more than no node, and finite numbers of at least 0")
