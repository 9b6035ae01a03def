"""What a scheduling policy sees and answers. Plans arrive ready-made: policies import no planner."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from farthing.domain.plan import Allocation, Plan


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job that wants accelerators."""

    key: str
    priority: int
    created: datetime
    urgency: float
    """Share of the slack that is gone: 0 = nothing presses, 1 = must start now to meet its deadline or budget window."""
    plans: tuple[Plan, ...]
    """Best first; only those that its budget, its pools and its namespace allow."""
    value_seconds: float
    """Seconds of gang time that the job still wants to run."""
    accelerators_behind: int = 0
    """Of the training that a prepare attempt is made for; 0 where the plans are the training's own."""
    ready: bool = True
    """False: its prepare attempt is still open. Nothing of it starts now; room is kept for the gang that comes next."""


@dataclass(frozen=True, slots=True)
class RunningGang:
    """A gang that holds accelerators."""

    key: str
    attempt: str
    allocation: Allocation
    nodes: tuple[str, ...]
    """Node of each pod that is bound."""
    priority: int
    created: datetime
    lost_work_seconds: float
    """Accelerator-seconds lost by stopping now: since the newest checkpoint if it cannot be asked, else one save."""
    restart_seconds: float
    """Start-up of the attempt that will resume it, accelerator-seconds ÷ accelerators."""
    remaining_seconds: float
    stopping: bool
    """Already asked to stop: its accelerators are about to be free."""
    preemptible: bool = True


@dataclass(frozen=True, slots=True)
class NodeCapacity:
    """Free accelerators of one node that is ready."""

    node: str
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class PoolCapacity:
    """The nodes of one pool."""

    name: str
    nodes: tuple[NodeCapacity, ...]


@dataclass(frozen=True, slots=True)
class SchedulingView:
    """One question to a policy."""

    now: datetime
    candidates: tuple[Candidate, ...]
    running: tuple[RunningGang, ...]
    pools: tuple[PoolCapacity, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """Open an attempt with this plan: its whole gang fits now."""

    key: str
    plan: Plan
    reason: str
    numbers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preempt:
    """Stop `attempt` through the handshake, for the sake of `for_key`."""

    key: str
    attempt: str
    for_key: str
    reason: str
    numbers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing for this job now, and why."""

    key: str
    reason: str
    numbers: dict[str, str] = field(default_factory=dict)


Verdict = Start | Preempt | Wait


class Policy(Protocol):
    """A pure function from the view to at most one verdict a candidate, preemptions apart. Same view, same answer."""

    name: str

    def decide(self, view: SchedulingView) -> tuple[Verdict, ...]:
        """Verdicts in the order in which they should be carried out."""
        ...
