"""Seconds of one step of the CPU trainer: products at the rate that the size reaches, dispatch, communication, optimizer.

For processes on CPU slots alone; GPUs are estimated by `farthing.estimates`. Communication volumes follow arXiv:1910.02054
(ZeRO): a ring collective over n processes moves (n − 1)/n of its payload. Nothing overlaps: a CPU has no second engine.
"""

from dataclasses import dataclass

from farthing.contract.flops import executed_flops_per_token
from farthing.domain.plan import Allocation, Strategy
from farthing.domain.planning import PlanRequest, PoolOffer
from farthing.planner.candidates import is_sharded
from farthing.planner.cpu_memory import MASTER
from farthing.planner.offers import peak_rate

KERNEL_EFFICIENCY = 0.65
"""Of the pool's measured float32 GEMM rate, reached by one torch thread at large hidden sizes: 82 of 128 GFLOP/s (h = 768)."""
HALF_WIDTH = 20.0
"""Hidden size at which half of that is reached. h = 64, 128, 288, 768 gave 60, 71, 66, 82 of 128 GFLOP/s, ± 15 %."""
LAYER_SECONDS = 1.0e-3
"""Interpreter and dispatch per layer, forward + backward: 4.5 ms a step in 4 layers."""
COLLECTIVE_SECONDS = 4.0e-3
"""One gloo collective between processes that share the cores with their own gloo threads; the step waits for the slowest."""
LINK_BANDWIDTH = 1.0e9
"""Bytes a second between two pods of one machine through gloo's sockets (assumed)."""
MEMORY_BANDWIDTH = 1.0e10
"""Bytes a second of one slot, where the pool was not measured (assumed)."""
GANG_EFFICIENCY = 0.8
"""Share of the lone speed that each of several processes on one machine keeps: caches, stragglers, the node's own daemons. The
trainer ran llama-1m at 9,400 tokens/s alone, and two workers together at 13,100 to 17,300 on two cores with nothing else to do
(five attempts, docs/results/main-job.md); on two cores busy with other work they came to 6,500."""
SIGMA = 0.35
"""Spread of tokens/s before any was measured: an idle machine is about half again as fast as a busy one."""
SOURCE = "measured rate of the pool, size-dependent"
OPTIMIZER_BYTES = 28.0
"""Bytes of memory traffic a trainable parameter in fused AdamW: read 16 (parameter, gradient, moments), write 12."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of one optimizer step by part; their sum is what a step takes."""

    compute: float
    communication: float
    optimizer: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.compute + self.communication + self.optimizer


def step_time(request: PlanRequest, offer: PoolOffer, allocation: Allocation, strategy: Strategy) -> StepTime:
    """Predicted seconds of one step of the global batch. Raises ValueError where no rate is known."""
    micro = _micro_batch_seconds(request, offer, allocation, strategy)
    exchanged = _micro_batch_communication(request, allocation, strategy)
    return StepTime(
        compute=strategy.accumulation * micro,
        communication=strategy.accumulation * exchanged + _step_communication(request, allocation, strategy),
        optimizer=_optimizer_seconds(request, offer, allocation, strategy),
    )


def kernel_rate(offer: PoolOffer, hidden: int, precision: str) -> float:
    """FLOP/s that the matrix products of one slot reach at this hidden size. Raises ValueError where no rate is known."""
    return peak_rate(offer, precision) * KERNEL_EFFICIENCY * (hidden / (hidden + HALF_WIDTH))


def _micro_batch_seconds(request: PlanRequest, offer: PoolOffer, allocation: Allocation, strategy: Strategy) -> float:
    tokens = strategy.micro_batch * request.sequence_length
    flops = executed_flops_per_token(
        request.shape, request.sequence_length, strategy.activation_checkpointing, strategy.adapter
    )
    rate = kernel_rate(offer, request.shape.hidden, strategy.precision)
    speed = rate * (GANG_EFFICIENCY if allocation.accelerators > 1 else 1.0)
    launches = request.shape.layers * (4 / 3 if strategy.activation_checkpointing == "Full" else 1.0)
    return flops * tokens / speed + launches * LAYER_SECONDS


def _micro_batch_communication(request: PlanRequest, allocation: Allocation, strategy: Strategy) -> float:
    """FSDP2's collectives of one micro-batch: Root gathers once and reduces once, PerLayer gathers twice."""
    if not is_sharded(allocation, strategy):
        return 0.0
    compute_bytes = 2 if strategy.precision == "bfloat16" else 4
    held = request.shape.parameters + request.adapter_parameters
    gathers = 1 if strategy.grouping == "Root" else 2
    units = 1 if strategy.grouping == "Root" else request.shape.layers + 1
    payload = gathers * compute_bytes * held + MASTER * request.trainable_parameters
    return (gathers + 1) * units * COLLECTIVE_SECONDS + _transfer_seconds(payload, allocation)


def _step_communication(request: PlanRequest, allocation: Allocation, strategy: Strategy) -> float:
    """Once a step: the packed all-reduce and the norm's; unsharded gradients are averaged in one more (twice the payload)."""
    if allocation.accelerators == 1:
        return 0.0
    small = 2 * COLLECTIVE_SECONDS
    if is_sharded(allocation, strategy):
        return small
    return small + COLLECTIVE_SECONDS + _transfer_seconds(2 * MASTER * request.trainable_parameters, allocation)


def _optimizer_seconds(request: PlanRequest, offer: PoolOffer, allocation: Allocation, strategy: Strategy) -> float:
    shards = allocation.accelerators if is_sharded(allocation, strategy) else 1
    bandwidth = offer.measured_memory_bandwidth or offer.accelerator.memory_bandwidth or MEMORY_BANDWIDTH
    return OPTIMIZER_BYTES * request.trainable_parameters / shards / bandwidth


def _transfer_seconds(payload: float, allocation: Allocation) -> float:
    n = allocation.accelerators
    return payload * (n - 1) / n / LINK_BANDWIDTH
