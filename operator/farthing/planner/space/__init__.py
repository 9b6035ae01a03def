"""The search over everything legal for a model, pools and a budget: `explore` answers a `SpaceQuestion` with a `Space`."""

from farthing.planner.space.answer import Choice, Layout, Space
from farthing.planner.space.optimum import Optimum, optimum
from farthing.planner.space.question import KNOBS, SpaceQuestion
from farthing.planner.space.search import explore

__all__ = ["KNOBS", "Choice", "Layout", "Optimum", "Space", "SpaceQuestion", "explore", "optimum"]
