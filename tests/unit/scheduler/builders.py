"""Candidates, gangs and views for the scheduler's tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.ledger.builders import plan

from farthing.domain.plan import Plan
from farthing.domain.scheduling import Candidate, NodeCapacity, PoolCapacity, RunningGang, SchedulingView

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def node(name: str, free: int, total: int | None = None) -> NodeCapacity:
    return NodeCapacity(name, free if total is None else total, free)


def pool(*nodes: NodeCapacity, name: str = "cpu") -> PoolCapacity:
    return PoolCapacity(name, nodes)


def candidate(key: str = "team/a", *plans: Plan, **facts: Any) -> Candidate:
    """Wants 600 s of two accelerators with 10 s of start-up, but for what is said otherwise."""
    values: dict[str, Any] = {"priority": 0, "created": T0, "urgency": 0.0, "value_seconds": 600.0}
    return Candidate(key=key, plans=plans or (plan(),), **{**values, **facts})


def gang(attempt: str = "b-1", *nodes: str, **facts: Any) -> RunningGang:
    """Runs one accelerator on each of these nodes for another 1000 s."""
    values: dict[str, Any] = {
        "key": f"team/{attempt.rsplit('-', 1)[0]}",
        "allocation": plan(pods=len(nodes) or 1).allocation,
        "priority": 0,
        "created": T0,
        "lost_work_seconds": 5.0,
        "restart_seconds": 10.0,
        "remaining_seconds": 1000.0,
        "stopping": False,
    }
    return RunningGang(attempt=attempt, nodes=nodes, **{**values, **facts})


def view(candidates: list[Candidate], running: list[RunningGang], *pools: PoolCapacity) -> SchedulingView:
    return SchedulingView(now=T0 + timedelta(hours=1), candidates=tuple(candidates), running=tuple(running), pools=pools)
