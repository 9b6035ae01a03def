"""The heart: one pass of the main loop. Level-triggered: the state of the cluster decides, not the event that woke the loop.

Two passes over the same state: the second writes nothing. Trouble of one job is noted and never stops the others.
"""

from dataclasses import dataclass, field

from farthing.clock import Clock
from farthing.domain.decision import Action, Hold
from farthing.domain.scheduling import Policy
from farthing.engine.act import Actor
from farthing.engine.decide import decide
from farthing.engine.planning import Planner, plan_cases
from farthing.engine.ports import World
from farthing.engine.record import Scribe
from farthing.engine.stopwatch import Stopwatch
from farthing.settings import Settings


@dataclass(frozen=True, slots=True)
class CycleReport:
    """What one cycle did. `troubles`: what went wrong, by job, pool or account; the next cycle tries again."""

    jobs: int
    actions: tuple[Action, ...]
    status_writes: int
    troubles: dict[str, str] = field(default_factory=dict)

    @property
    def quiet(self) -> bool:
        """Whether nothing was done and nothing is left to try again: the next cycle may wait for an event."""
        return not self.actions and not self.status_writes and not self.troubles


async def cycle(world: World, policy: Policy, planner: Planner, settings: Settings, clock: Clock) -> CycleReport:
    """observe → plan → decide → reserve and act → record."""
    watch = Stopwatch(clock)

    snapshot = await world.observe()  # 1 observe: an immutable picture
    watch.lap("observe")

    cases = plan_cases(snapshot, planner, settings)  # 2 plan: candidates for those that want to start
    watch.lap("plan")

    decisions = decide(snapshot, cases, policy, settings)  # 3 decide: state × observation → step → actions
    watch.lap("decide")

    carried = await Actor(world, snapshot, settings).carry_out(decisions)  # 4 reserve and 5 act: one port, so one order
    watch.lap("act")

    scribe = Scribe(world, snapshot, settings)
    await scribe.record(carried, cases)  # 6 record: statuses, events, metrics
    watch.lap("record")

    world.cycle(watch.total, watch.laps)
    done = tuple(action for each in carried for action in each.done if not isinstance(action, Hold))
    return CycleReport(len(cases), done, scribe.writes, scribe.troubles)
