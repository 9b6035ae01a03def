"""From draft to plan: what a pod must ask for, and what the budget buys with it."""

from dataclasses import replace
from math import ceil, hypot, isfinite

from farthing.catalog.devices import device
from farthing.domain.plan import MemoryEstimate, Plan, Prediction
from farthing.domain.planning import PlanRequest, PoolOffer
from farthing.planner.budget import TIME_AXES, Meter, Purchase, checkpoint_waste, purchase
from farthing.planner.corrections import Corrections, Speed
from farthing.planner.cpu_memory import MASTER
from farthing.planner.drafts import Draft
from farthing.planner.energy import PowerDraw, predict_energy
from farthing.planner.loss import predict_loss
from farthing.planner.offers import peak_rate
from farthing.units import GIB, MIB

SHM_BYTES = 64 * MIB
"""The pod's shared memory: Docker's own default; gloo meets over sockets and uses none of it."""
NCCL_SHM_BYTES = 256 * MIB
"""More per GPU process: NCCL's shared-memory channels between GPUs without a direct link (assumed)."""
GPU_HOST_BYTES = 4 * GIB
"""Host memory of a GPU process beside the states that pass through it (assumed: torch with CUDA libraries)."""
SAVE_BANDWIDTH = 1.0e9
"""Bytes a second that a save writes (assumed until one was measured)."""
STARTUP_SIGMA = 0.3
"""11-18 s on two cores."""
WORK_SIGMA = 0.01
"""Tokens and FLOPs where they are what is limited: only whole steps round them."""


def make_plan(request: PlanRequest, draft: Draft, known: Corrections) -> Plan:
    """The plan of this draft with its predictions. Raises ValueError when nothing is limited, or cost is without a price."""
    speed, memory = known.speed(draft), known.memory(draft)
    meter = plan_meter(request, draft, known, speed)
    bought = purchase(meter, request.remaining, request.seconds_left)
    timed = bought.binding in TIME_AXES
    used = WORK_SIGMA if timed else speed.sigma
    done = speed.sigma if timed else WORK_SIGMA
    because = f"what is left of {bought.binding}, at the predicted speed"
    return Plan(
        allocation=draft.allocation,
        strategy=draft.strategy,
        memory=memory,
        memory_request_bytes=pod_memory_bytes(request, draft, memory),
        shm_bytes=pod_shm_bytes(draft),
        step_seconds=Prediction(meter.step_seconds, speed.sigma, "s", speed.source),
        tokens_per_second=Prediction(speed.tokens_per_second, speed.sigma, "tokens/s", speed.source),
        startup_seconds=Prediction(meter.startup_seconds, STARTUP_SIGMA, "s", _startup_source(draft, known)),
        checkpoint_seconds=Prediction(meter.checkpoint_seconds, 0.5, "s", "prior or measured saves on this pool"),
        tokens=Prediction(float(bought.tokens), done, "tokens", because),
        seconds=Prediction(bought.seconds, used, "s", because),
        cost=None if bought.cost is None else Prediction(bought.cost, used, draft.offer.currency or "", because),
        flops=Prediction(bought.flops, done, "FLOPs", because),
        loss=_loss(request, bought),
        flops_per_token=draft.flops_per_token,
        peak_flops_per_second=peak_rate(draft.offer, draft.strategy.precision),
        price_per_hour=meter.price_per_hour,
        binding=bought.binding,
        energy=_energy(draft, meter, bought, used),
    )


def plan_meter(request: PlanRequest, draft: Draft, known: Corrections, speed: Speed) -> Meter:
    """How fast this draft uses each axis."""
    offer, accelerators = draft.offer, draft.allocation.accelerators
    save = known.checkpoint_seconds(draft) or _save_seconds(request)
    price = offer.price_per_accelerator_hour
    return Meter(
        step_seconds=request.global_batch * request.sequence_length / speed.tokens_per_second,
        startup_seconds=known.startup_seconds(draft) or offer.startup_seconds or request.profile.startup_seconds,
        reserve_seconds=request.profile.reserve_seconds,
        checkpoint_seconds=save,
        waste=checkpoint_waste(save, offer.mean_time_between_failures / draft.allocation.pods),
        tokens_per_step=request.global_batch * request.sequence_length,
        flops_per_token=draft.flops_per_token,
        accelerators=accelerators,
        price_per_hour=None if price is None else float(price) * accelerators,
    )


def _save_seconds(request: PlanRequest) -> float:
    """Weights and two moments in float32 for what is trained, beside the fixed cost of a small save."""
    return request.profile.checkpoint_seconds + 12.0 * request.trainable_parameters / SAVE_BANDWIDTH


def _startup_source(draft: Draft, known: Corrections) -> str:
    measured = known.startup_seconds(draft) is not None or draft.offer.startup_seconds is not None
    return "measured on this pool" if measured else "prior of the runtime image"


def _loss(request: PlanRequest, bought: Purchase) -> Prediction | None:
    """None for fine-tuning: no law tells the loss on data that the first training never saw."""
    if request.pretrained:
        return None
    return predict_loss(request.shape, request.tokens_done + bought.tokens, request.unique_tokens)


def _energy(draft: Draft, meter: Meter, bought: Purchase, sigma: float) -> Prediction | None:
    """Of the gang for `bought.seconds`, idle while it starts; `sigma`: spread of those seconds. None without design power."""
    row = device(draft.offer.accelerator.name)
    if row is None or not isfinite(row.watts):
        return None
    idle = min(meter.startup_seconds, bought.seconds)
    draw = PowerDraw(row.name, row.watts)
    energy = predict_energy(draw, draft.allocation.accelerators, bought.seconds - idle, idle)
    return replace(energy, sigma=hypot(energy.sigma, sigma))


def pod_shm_bytes(draft: Draft) -> int:
    """Size of the pod's memory-backed /dev/shm."""
    channels = 0 if draft.offer.accelerator.kind == "CPU" else NCCL_SHM_BYTES * draft.allocation.accelerators_per_pod
    return SHM_BYTES + channels


def pod_memory_bytes(request: PlanRequest, draft: Draft, memory: MemoryEstimate) -> int:
    """Memory request and limit of one pod in whole MiB: its processes and /dev/shm.

    On GPUs that is host memory: runtime, states on their way through a save, and one whole tensor while loading.
    """
    processes = draft.allocation.accelerators_per_pod
    if draft.offer.accelerator.kind == "CPU":
        return round_to_mib(memory.safe_bytes * processes + pod_shm_bytes(draft))
    states = sum(memory.terms["optimizer"].get(name, 0.0) for name in ("parameters", "optimizer states"))
    shape = request.shape
    host = GPU_HOST_BYTES + states + MASTER * max(shape.embedding_parameters, shape.hidden * shape.ffn)
    return round_to_mib(host * processes + pod_shm_bytes(draft))


def round_to_mib(size: float) -> int:
    """Up to the next whole MiB."""
    return ceil(size / MIB) * MIB


def accelerator_memory(offer: PoolOffer) -> int | None:
    """Bytes that one accelerator's share may use, or None where nobody says: then the cluster's scheduler is the judge."""
    return offer.memory_bytes if offer.memory_bytes is not None else offer.accelerator.memory_bytes


def needed_bytes(plan: Plan, offer: PoolOffer) -> float:
    """What one accelerator's share must offer: on a CPU its part of the pod's request, on a GPU the process's safe bytes."""
    if offer.accelerator.kind == "CPU":
        return plan.memory_request_bytes / plan.allocation.accelerators_per_pod
    return plan.memory.safe_bytes


def memory_fits(plan: Plan, offer: PoolOffer) -> bool:
    """Whether one accelerator's share offers what the plan needs."""
    limit = accelerator_memory(offer)
    return limit is None or needed_bytes(plan, offer) <= limit
