"""A plan set in words: what was chosen, on which numbers, what came next, what was refused."""

from farthing.domain.plan import Plan, PlanSet, Prediction
from farthing.domain.planning import PlanRequest
from farthing.errors import NoPlan
from farthing.planner.search import plan
from farthing.units import format_bytes, format_count, format_duration

ALTERNATIVES = 3


def marginal(subject: PlanSet | PlanRequest, axis: str) -> float:
    """Change of the final loss, in nats, per unit more of a limited axis (or `deadline`); 0 where another axis binds.

    Units: cost in its currency, acceleratorHours, single flops and tokens, deadline in seconds. Raises NoPlan where nothing
    fits, and ValueError where the axis is not limited or no loss is predicted (fine-tuning).
    """
    plans = plan(subject) if isinstance(subject, PlanRequest) else subject
    if plans.best is None:
        raise NoPlan(refusal(plans))
    if axis not in plans.marginals:
        known = ", ".join(sorted(plans.marginals)) or "no axis"
        raise ValueError(f"axis: {axis!r} has no marginal; there is one for {known}")
    return plans.marginals[axis]


def refusal(plans: PlanSet) -> str:
    """One sentence for a set without plans: each constraint with the family that came closest."""
    closest: dict[str, str] = {}
    for rejection in sorted(plans.rejections, key=lambda r: r.needs / r.has if r.has > 0 else float("inf")):
        closest.setdefault(rejection.constraint, str(rejection))
    return "no plan fits: " + ("; ".join(closest.values()) or "no pool offers a candidate")


def explain(plans: PlanSet) -> list[str]:
    """Lines for `farthing plan` and `farthing why`, most important first."""
    if plans.best is None:
        return [refusal(plans), *plans.notes]
    best = plans.best
    lines = [_chosen(best), _memory(best), _speed(best), _bought(best), *plans.notes]
    lines += [f"one more unit of {axis} changes the loss by {slope:.3g}" for axis, slope in plans.marginals.items()]
    lines += [_alternative(best, other) for other in plans.plans[1 : 1 + ALTERNATIVES]]
    return lines + [f"rejected {rejection}" for rejection in plans.rejections]


def _chosen(best: Plan) -> str:
    where = best.allocation
    return f"chosen: {where.pods} x {where.accelerators_per_pod} {where.accelerator} of {where.pool}, {best.strategy.signature}"


def _memory(best: Plan) -> str:
    memory = best.memory
    terms = ", ".join(f"{name} {format_bytes(size)}" for name, size in memory.terms[memory.peak_phase].items() if size)
    return (
        f"memory: {format_bytes(memory.expected_bytes)} a process at its peak ({memory.peak_phase}: runtime "
        f"{format_bytes(memory.baseline)}, {terms}); each pod asks for {format_bytes(best.memory_request_bytes)}"
    )


def _speed(best: Plan) -> str:
    speed = best.tokens_per_second
    return f"speed: {_spread(speed)} tokens/s, {best.step_seconds.value:.3g} s a step ({speed.source})"


def _spread(number: Prediction) -> str:
    """Median with its 10 % and 90 % quantiles."""
    low, high = number.quantile(0.1), number.quantile(0.9)
    return f"{format_count(number.value)} ({format_count(low)}-{format_count(high)})"


def _bought(best: Plan) -> str:
    cost = f", {best.cost.value:.4g} {best.cost.unit}" if best.cost is not None else ""
    loss = f", final loss {_spread(best.loss)} {best.loss.unit} ({best.loss.source})" if best.loss is not None else ""
    return f"buys: {_spread(best.tokens)} tokens in {format_duration(best.seconds.value)}{cost}{loss}; {best.binding} ends it"


def _alternative(best: Plan, other: Plan) -> str:
    where = f"{other.allocation.accelerators} x {other.allocation.accelerator} of {other.allocation.pool}"
    share = other.tokens.value / best.tokens.value
    return (
        f"next: {where}, {other.strategy.signature}: {share:.1%} of the tokens in {format_duration(other.seconds.value)}, "
        f"{format_bytes(other.memory.expected_bytes)} a process"
    )
