"""Seconds of one step: compute at the rate that the size reaches, launch cost, exposed communication, optimizer.

Communication volumes follow arXiv:1910.02054 (ZeRO): a ring collective over n processes moves (n − 1)/n of its payload.
"""

from dataclasses import dataclass

from farthing.contract.flops import executed_flops_per_token
from farthing.domain.plan import Allocation, Strategy
from farthing.domain.planning import PlanRequest, PoolOffer
from farthing.planner import efficiency as eff


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of one optimizer step by part; their sum is what a step takes."""

    compute: float
    communication: float
    """What compute does not hide."""
    optimizer: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.compute + self.communication + self.optimizer


def step_time(request: PlanRequest, offer: PoolOffer, allocation: Allocation, strategy: Strategy) -> StepTime:
    """Predicted seconds of one step of the global batch. Raises ValueError where no rate is known."""
    micro = _micro_batch_seconds(request, offer, allocation, strategy)
    hidden = micro if _overlaps(offer, strategy) else 0.0
    exposed = max(0.0, _micro_batch_communication(request, offer, allocation, strategy) - hidden)
    return StepTime(
        compute=strategy.accumulation * micro,
        communication=strategy.accumulation * exposed + _step_communication(request, offer, allocation, strategy),
        optimizer=_optimizer_seconds(request, offer, allocation, strategy),
    )


def _micro_batch_seconds(request: PlanRequest, offer: PoolOffer, allocation: Allocation, strategy: Strategy) -> float:
    tokens = strategy.micro_batch * request.sequence_length
    flops = executed_flops_per_token(
        request.shape, request.sequence_length, strategy.activation_checkpointing, strategy.adapter
    )
    kernels = flops * tokens / kernel_speed(request, offer, allocation, strategy)
    launches = request.shape.layers * (4 / 3 if strategy.activation_checkpointing == "Full" else 1.0)
    if offer.accelerator.kind == "CPU":
        return kernels + launches * eff.CPU_LAYER_SECONDS
    per_layer = eff.GPU_COMPILED_LAYER_SECONDS if strategy.compile else eff.GPU_LAYER_SECONDS
    return max(kernels, launches * per_layer * 3 / 4)


def kernel_speed(request: PlanRequest, offer: PoolOffer, allocation: Allocation, strategy: Strategy) -> float:
    """FLOP/s of one accelerator in the products of this plan."""
    rate = eff.kernel_rate(offer, request.shape.hidden, strategy.precision)
    if offer.accelerator.kind == "CPU":
        return rate * (eff.CPU_GANG_EFFICIENCY if allocation.accelerators > 1 else 1.0)
    eager = 1.0 if strategy.compile else eff.EAGER_SPEED
    return rate * eager * (eff.DETERMINISTIC_SPEED if strategy.deterministic else 1.0)


def _overlaps(offer: PoolOffer, strategy: Strategy) -> bool:
    """Per-layer units are fetched while the layer before computes; a CPU has no second engine to do it."""
    return strategy.grouping == "PerLayer" and offer.accelerator.kind != "CPU"


def _micro_batch_communication(request: PlanRequest, offer: PoolOffer, allocation: Allocation, strategy: Strategy) -> float:
    """FSDP2's collectives of one micro-batch: Root gathers once and reduces once, PerLayer gathers twice."""
    if not is_sharded(allocation, strategy):
        return 0.0
    compute_bytes = 2 if strategy.precision == "bfloat16" else 4
    held = request.shape.parameters + request.adapter_parameters
    gathers = 1 if strategy.grouping == "Root" else 2
    units = 1 if strategy.grouping == "Root" else request.shape.layers + 1
    payload = gathers * compute_bytes * held + 4 * trainable(request)
    return (gathers + 1) * units * _latency(offer) + _transfer_seconds(payload, offer, allocation)


def _step_communication(request: PlanRequest, offer: PoolOffer, allocation: Allocation, strategy: Strategy) -> float:
    """Once a step: the packed all-reduce and the norm's; unsharded gradients are averaged in one more (twice the payload)."""
    if allocation.accelerators == 1:
        return 0.0
    small = 2 * _latency(offer)
    if is_sharded(allocation, strategy):
        return small
    return small + _latency(offer) + _transfer_seconds(2 * 4 * trainable(request), offer, allocation)


def _optimizer_seconds(request: PlanRequest, offer: PoolOffer, allocation: Allocation, strategy: Strategy) -> float:
    shards = allocation.accelerators if is_sharded(allocation, strategy) else 1
    bandwidth = offer.measured_memory_bandwidth or offer.accelerator.memory_bandwidth or eff.CPU_MEMORY_BANDWIDTH
    return eff.OPTIMIZER_BYTES * trainable(request) / shards / bandwidth


def trainable(request: PlanRequest) -> int:
    """Parameters that are trained: the adapter's, or all."""
    return request.adapter_parameters or request.shape.parameters


def is_sharded(allocation: Allocation, strategy: Strategy) -> bool:
    """Whether states are really split: a world of one has nothing to split."""
    return strategy.sharding == "FullShard" and allocation.accelerators > 1


def _latency(offer: PoolOffer) -> float:
    return eff.CPU_COLLECTIVE_SECONDS if offer.accelerator.kind == "CPU" else eff.GPU_COLLECTIVE_SECONDS


def _transfer_seconds(payload: float, offer: PoolOffer, allocation: Allocation) -> float:
    n = allocation.accelerators
    return payload * (n - 1) / n / _bandwidth(offer, allocation)


def _bandwidth(offer: PoolOffer, allocation: Allocation) -> float:
    if offer.accelerator.kind == "CPU":
        return eff.CPU_LINK_BANDWIDTH
    inside = (offer.accelerator.link_bandwidth or eff.INTER_NODE_BANDWIDTH) * eff.LINK_EFFICIENCY
    return inside if allocation.pods == 1 else min(inside, eff.INTER_NODE_BANDWIDTH * eff.LINK_EFFICIENCY)
