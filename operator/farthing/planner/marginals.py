"""What one more unit of each limited axis would buy: the one currency in which alternatives are compared."""

from collections.abc import Sequence
from decimal import Decimal

from farthing.api.amounts import Axis
from farthing.domain.plan import Plan
from farthing.domain.planning import PlanRequest
from farthing.planner.budget import DEADLINE, Meter, purchase
from farthing.planner.corrections import Corrections
from farthing.planner.drafts import Draft
from farthing.planner.estimate import plan_meter
from farthing.planner.loss import loss_value

DIFFERENCE = Decimal("0.01")
"""Relative step of the finite difference."""


def marginals(
    request: PlanRequest, chosen: Sequence[Plan], candidates: Sequence[Draft], known: Corrections
) -> dict[str, float]:
    """Of the best plan: loss per unit more of each limited axis, by a finite difference of one per cent."""
    if not chosen or chosen[0].loss is None:
        return {}
    best = chosen[0]
    key = (best.allocation.pool, best.allocation.accelerators, best.strategy.signature)
    draft = next(d for d in candidates if d.key == key)
    meter = plan_meter(request, draft, known, known.speed(draft))
    slopes = {axis.value: _slope(request, meter, axis) for axis in request.remaining if request.remaining[axis] > 0}
    if request.seconds_left:
        slopes[DEADLINE] = _slope(request, meter, None)
    return slopes


def _slope(request: PlanRequest, meter: Meter, axis: Axis | None) -> float:
    """d loss / d axis, in nats per unit; axis None is the deadline."""
    remaining, seconds = dict(request.remaining), request.seconds_left
    if axis is None:
        step = float(DIFFERENCE) * (seconds or 0.0)
        seconds = (seconds or 0.0) + step
    else:
        step = float(remaining[axis] * DIFFERENCE)
        remaining[axis] *= 1 + DIFFERENCE
    before = purchase(meter, request.remaining, request.seconds_left).exact_tokens
    after = purchase(meter, remaining, seconds).exact_tokens
    return (_final_loss(request, after) - _final_loss(request, before)) / step


def _final_loss(request: PlanRequest, tokens: float) -> float:
    return loss_value(request.shape, request.tokens_done + tokens, request.unique_tokens)
