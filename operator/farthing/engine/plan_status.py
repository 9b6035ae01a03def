"""`status.plan`: the chosen plan, its predictions beside what was measured, and what was not chosen."""

from collections.abc import Mapping

from farthing.api.job_status import AllocationStatus, Estimate, PlanStatus, RejectedPlan
from farthing.domain.plan import Allocation, Plan, PlanSet, Prediction
from farthing.units import MIB

LOW, HIGH = 0.1, 0.9
"""The 80 % interval."""
MAX_REJECTED = 16


def plan_status(
    plan: Plan,
    plans: PlanSet | None,
    previous: PlanStatus | None,
    *,
    measured: Mapping[str, float],
    memory_step: int,
    global_batch: int,
) -> PlanStatus:
    """The plan for people. What was measured before stays where nothing newer is known."""
    chosen = plan.strategy
    status = PlanStatus(
        allocation=allocation_status(plan.allocation),
        precision=chosen.precision,
        sharding=chosen.sharding,
        grouping=chosen.grouping,
        activation_checkpointing=chosen.activation_checkpointing,
        micro_batch_size=chosen.micro_batch,
        accumulation=chosen.accumulation,
        global_batch_size=global_batch,
        memory_request=f"{-(-plan.memory_request_bytes // MIB)}Mi",
        memory_step=memory_step,
        predictions={name: _estimate(each, measured.get(name)) for name, each in predictions(plan).items()},
        memory_terms={name: f"{size:.0f}" for name, size in sorted(plan.memory.terms[plan.memory.peak_phase].items())[:32]},
        rejected=rejections(plans),
    )
    return status if previous is None else _with_memory(status, previous, known_alternatives=plans is not None)


def allocation_status(allocation: Allocation) -> AllocationStatus:
    """Where a gang runs."""
    return AllocationStatus(
        pool=allocation.pool,
        accelerator=allocation.accelerator,
        pods=allocation.pods,
        accelerators_per_pod=allocation.accelerators_per_pod,
    )


def predictions(plan: Plan) -> dict[str, Prediction]:
    """The predictions that are shown, by name; memory is of one process."""
    memory = Prediction(plan.memory.expected_bytes, 0.1, "bytes", "sum of terms of the phase with the peak")
    named = {
        "memory": memory,
        "tokensPerSecond": plan.tokens_per_second,
        "stepSeconds": plan.step_seconds,
        "startupSeconds": plan.startup_seconds,
        "checkpointSeconds": plan.checkpoint_seconds,
        "seconds": plan.seconds,
        "tokens": plan.tokens,
        "flops": plan.flops,
        "cost": plan.cost,
        "energy": plan.energy,
        "loss": plan.loss,
    }
    return {name: each for name, each in named.items() if each is not None}


def rejections(plans: PlanSet | None) -> list[RejectedPlan]:
    """What was not chosen and why."""
    found = plans.rejections if plans is not None else ()
    return [
        RejectedPlan(
            plan=each.family[:256], constraint=f"{each.constraint}: needs {each.needs:.4g} {each.unit} of {each.has:.4g}"[:512]
        )
        for each in found[:MAX_REJECTED]
    ]


def _estimate(prediction: Prediction, measured: float | None) -> Estimate:
    return Estimate(
        value=_text(prediction.value),
        low=_text(prediction.quantile(LOW)) if prediction.sigma else None,
        high=_text(prediction.quantile(HIGH)) if prediction.sigma else None,
        measured=None if measured is None else _text(measured),
        unit=prediction.unit,
        source=prediction.source[:512],
    )


def _with_memory(status: PlanStatus, previous: PlanStatus, *, known_alternatives: bool) -> PlanStatus:
    """The same plan keeps what an earlier look at it measured and rejected."""
    if _identity(status) != _identity(previous):
        return status
    kept = {
        name: each.model_copy(update={"measured": each.measured or _measured(previous, name)})
        for name, each in status.predictions.items()
    }
    update: dict[str, object] = {"predictions": kept}
    if not known_alternatives:
        update["rejected"] = previous.rejected
    return status.model_copy(update=update)


def _identity(plan: PlanStatus) -> tuple[object, ...]:
    layout = (plan.precision, plan.sharding, plan.grouping, plan.activation_checkpointing)
    return plan.allocation, *layout, plan.micro_batch_size, plan.accumulation


def _measured(previous: PlanStatus, name: str) -> str | None:
    standing = previous.predictions.get(name)
    return None if standing is None else standing.measured


def _text(value: float) -> str:
    return f"{value:.6g}"
