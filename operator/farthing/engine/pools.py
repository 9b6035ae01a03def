"""`status` of a GPUNodePool: what is seen on its nodes, and whether it can be used."""

from collections.abc import Sequence
from datetime import datetime

from farthing.api import GPUNodePoolStatus
from farthing.api.conditions import Condition, ConditionType, Reason, find
from farthing.catalog import accelerator
from farthing.domain.snapshot import PoolView
from farthing.engine.measure import startup_seconds
from farthing.engine.planning import Case
from farthing.engine.sizing import desired_nodes, one_node_more
from farthing.errors import UserError
from farthing.planner.sizing_pools import PoolSize
from farthing.units import format_time

SMOOTHING = 0.3
"""Weight of the newest attempt in the pool's start-up time."""
UNCHANGED_BELOW = 0.05
"""A relative change of the start-up time that is not worth a write."""


def pool_status(view: PoolView, cases: Sequence[Case], now: datetime, size: PoolSize) -> GPUNodePoolStatus:
    """The pool's status; equal to the present one when nothing changed."""
    previous = view.pool.status
    ready = [node for node in view.nodes if node.ready]
    return GPUNodePoolStatus(
        observed_generation=view.pool.metadata.generation or None,
        nodes=len(ready),
        accelerators=sum(node.accelerators for node in ready),
        free=sum(node.free for node in ready),
        held=_held(view, cases),
        desired_nodes=desired_nodes(view, cases, size),
        one_node_more=one_node_more(size),
        price_text=_price(view),
        startup_seconds=_startup(view, cases) or previous.startup_seconds,
        conditions=_conditions(view, now),
    )


def _held(view: PoolView, cases: Sequence[Case]) -> int:
    """Accelerators of attempts whose bill is open."""
    open_attempts = (attempt for case in cases if (attempt := case.view.open_attempt) is not None)
    specs = [attempt.record.spec for attempt in open_attempts if attempt.record.spec.pool == view.name]
    return sum(spec.pods * spec.accelerators_per_pod for spec in specs)


def _price(view: PoolView) -> str | None:
    price = view.pool.spec.price
    return None if price is None else f"{price.per_accelerator_hour} {price.currency}"


def _startup(view: PoolView, cases: Sequence[Case]) -> str | None:
    """Bound to first step, smoothed over the attempts of this pool that made one, oldest first."""
    smoothed: float | None = None
    for case in cases:
        newest = startup_seconds(case.view)
        if newest is None or case.view.attempts[-1].record.spec.pool != view.name:
            continue
        smoothed = newest if smoothed is None else (1 - SMOOTHING) * smoothed + SMOOTHING * newest
    if smoothed is None:
        return None
    standing = view.pool.status.startup_seconds
    if standing is not None and abs(smoothed - float(standing)) <= UNCHANGED_BELOW * float(standing):
        return standing
    return f"{smoothed:.1f}"


def _conditions(view: PoolView, now: datetime) -> list[Condition]:
    """Ready and, as its opposite for kstatus, Stalled."""
    reason, message = _problem(view)
    usable = reason is Reason.OK
    truths = {ConditionType.READY: usable, ConditionType.STALLED: not usable}
    return [_condition(view, kind, truth=truth, reason=reason, message=message, now=now) for kind, truth in truths.items()]


def _problem(view: PoolView) -> tuple[Reason, str]:
    try:
        accelerator(view.pool.spec.accelerator)
    except UserError as error:
        return Reason.UNKNOWN_ACCELERATOR, str(error)
    if view.pool.spec.price is None:
        return Reason.MISSING_PRICE, "spec.price is missing: jobs whose budget counts money cannot use this pool"
    return Reason.OK, ""


def _condition(view: PoolView, kind: ConditionType, *, truth: bool, reason: Reason, message: str, now: datetime) -> Condition:
    standing, status = find(view.pool.status.conditions, kind), "True" if truth else "False"
    stays = standing is not None and standing.status == status
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=standing.last_transition_time if stays and standing is not None else format_time(now),
        observed_generation=view.pool.metadata.generation or None,
    )
