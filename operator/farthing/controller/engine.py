"""Joins the engine's cycle with the policy and the planner that this operator uses."""

import logging
from collections.abc import Awaitable, Callable

from farthing.clock import Clock
from farthing.engine.cycle import cycle
from farthing.engine.planning import CachedPlanner
from farthing.engine.ports import World
from farthing.planner import plan
from farthing.scheduler.policy import policy
from farthing.settings import Settings

log = logging.getLogger(__name__)


def turn_of(world: World, settings: Settings, clock: Clock) -> Callable[[], Awaitable[None]]:
    """One cycle as a call without arguments."""
    planner, chosen = CachedPlanner(plan), policy()

    async def turn() -> None:
        report = await cycle(world, chosen, planner, settings, clock)
        for action in report.actions:
            log.info("%s %s: %s", type(action).__name__, action.job, action.because.message or action.because.reason)
        for whose, trouble in report.troubles.items():
            log.warning("%s: %s", whose, trouble)

    return turn
