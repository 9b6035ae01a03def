"""The learning rate: warm-up, stable, landing. Once the landing is fixed a pure function of the step. No torch.

The stable phase needs no end, so the landing can be put where the budget ends (warm-up-stable-decay, arXiv:2405.18392).
"""

import math

from farthing.contract.checkpoint import Landing
from farthing.contract.runconfig import ScheduleConfig


def stable_rate(step: int, peak: float, schedule: ScheduleConfig) -> float:
    """Rate of optimizer step `step` (from 1) without a landing: linear to `peak` over the warm-up, then constant."""
    if step >= schedule.warmup_steps:
        return peak
    return peak * step / schedule.warmup_steps


def learning_rate(step: int, peak: float, schedule: ScheduleConfig, landing: Landing | None) -> float:
    """Rate of optimizer step `step` (from 1). The first step of a landing still has its `lr_at_first`; zero after the last."""
    if landing is None or step < landing.first_step:
        return stable_rate(step, peak, schedule)
    if step > landing.last_step:
        return 0.0
    share = (step - landing.first_step) / (landing.last_step - landing.first_step + 1)
    decayed = 1 - math.sqrt(share) if schedule.landing_shape == "OneMinusSqrt" else 1 - share
    return landing.lr_at_first * decayed


def landing_length(total_steps: int, schedule: ScheduleConfig) -> int:
    """Steps of the landing in a run of `total_steps`: its share of the run, at least one."""
    return max(1, round(schedule.landing_fraction * total_steps))


def landing_for(total_steps: int, peak: float, schedule: ScheduleConfig) -> Landing:
    """The landing of a run whose last step is known from the start. `total_steps` ≥ 1."""
    first = total_steps - landing_length(total_steps, schedule) + 1
    return Landing(version=1, first_step=first, last_step=total_steps, lr_at_first=stable_rate(first, peak, schedule))


def decide_landing(
    landing: Landing | None, step: int, budget_left: float, left: float, peak: float, schedule: ScheduleConfig
) -> Landing | None:
    """What rank 0 decides while step `step` is made, effective from the next: a new landing, or None for no change.

    `budget_left`: steps that fit into the budget after this one; `left`: into whichever of budget and lease ends first. Both at
    the slow end of the measured speed, so that what is fixed can be reached.
    """
    if landing is not None and step >= landing.first_step - 1:
        return _compress(landing, step, left, peak, schedule)
    if math.isinf(budget_left):
        return None
    total = step + int(budget_left)
    if step + 1 < total - landing_length(total, schedule) + 1:
        return None
    version = 1 if landing is None else landing.version  # it rises only where one that has begun is cut
    last = step + int(min(left, budget_left))
    if landing is not None and landing.last_step == last:
        return None
    first = min(step + 1, last)
    rate = stable_rate(step + 1, peak, schedule)
    return Landing(version=version, first_step=first, last_step=last, lr_at_first=rate)


def _compress(landing: Landing, step: int, left: float, peak: float, schedule: ScheduleConfig) -> Landing | None:
    """A shorter landing from the current rate on where `last_step` is out of reach; the rate never rises."""
    if step + left >= landing.last_step:
        return None
    last = step + int(left)
    rate = learning_rate(step + 1, peak, schedule, landing)
    return Landing(version=landing.version + 1, first_step=min(step + 1, last), last_step=last, lr_at_first=rate)


def resumed_landing(
    known: Landing | None, landing: Landing | None, step: int, peak: float, schedule: ScheduleConfig
) -> Landing | None:
    """The landing of a run that resumes after `step`. `known`: what its token limit says; `landing`: what the checkpoint says.

    One that has begun stays, cut where the token limit was lowered; one that has not is fixed anew.
    """
    if landing is None or step < landing.first_step - 1:
        return known
    if known is None or known.last_step >= landing.last_step:
        return known if known is not None and step < known.first_step else landing
    last = max(step, known.last_step)
    rate = learning_rate(step + 1, peak, schedule, landing)
    return Landing(version=landing.version + 1, first_step=min(step + 1, last), last_step=last, lr_at_first=rate)
