"""What node-pool sizing is asked and what it answers: options of jobs, placements, and the plan that they make up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

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
        return ceil(used(self.placements, pool, moment) - ROUNDING)

    def peak_nodes(self, pool: str) -> int:
        """Most nodes of the pool in use at once: what an autoscaler must bring up."""
        mine = (placement for placement in self.placements if placement.option.pool == pool)
        return max((self.nodes_at(pool, placement.start_seconds) for placement in mine), default=0)


def used(placed: Sequence[Placement], pool: str, moment: float) -> float:
    """Nodes of the pool in use at that second."""
    return sum(p.option.nodes for p in placed if p.option.pool == pool and p.start_seconds <= moment < p.end_seconds)


def rank(option: SizingOption) -> tuple[float, float, float, float, str]:
    """Lower is better: value, then time held, then cost, then nodes, then name."""
    return (-option.value, option.held_seconds, option.cost or 0.0, option.nodes, option.pool)
