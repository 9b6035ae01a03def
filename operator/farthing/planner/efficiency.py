"""How much of a device's rate a training step reaches: the constants of the timing model, each with its evidence."""

from farthing.domain.planning import AcceleratorSpec, PoolOffer

CPU_KERNEL_EFFICIENCY = 0.65
"""Of the pool's measured float32 GEMM rate, reached by one torch thread at large hidden sizes: 82 of 128 GFLOP/s (h = 768)."""
CPU_HALF_WIDTH = 20.0
"""Hidden size at which half of that is reached. h = 64, 128, 288, 768 gave 60, 71, 66, 82 of 128 GFLOP/s, ± 15 %."""
CPU_LAYER_SECONDS = 1.0e-3
"""Interpreter and dispatch per layer, forward + backward: 4.5 ms a step in 4 layers."""
CPU_COLLECTIVE_SECONDS = 4.0e-3
"""One gloo collective between processes that share the cores with their own gloo threads; the step waits for the slowest."""
CPU_LINK_BANDWIDTH = 1.0e9
"""Bytes a second between two pods of one machine through gloo's sockets (assumed)."""
CPU_MEMORY_BANDWIDTH = 1.0e10
"""Bytes a second of one slot, where the pool was not measured (assumed)."""
CPU_GANG_EFFICIENCY = 0.8
"""Share of the lone speed that each of several processes on one machine keeps: caches, stragglers, the node's own daemons. The
trainer ran llama-1m at 9,400 tokens/s alone, and two workers together at 13,100 to 17,300 on two cores with nothing else to do
(five attempts, docs/results/main-job.md); on two cores busy with other work they came to 6,500."""
CPU_SIGMA = 0.35
"""Spread of tokens/s before any was measured: an idle machine is about half again as fast as a busy one."""

OBSERVED_MFU = {"H100": 0.403, "H200": 0.403, "A100-80GB": 0.540, "A100-40GB": 0.509}
"""Model FLOPs utilisation of tuned FSDP runs by GPU type, the strongest simple predictor (6.8 % median error on the held half
of llm-foundry's published rows). H200 is taken as an H100, whose peaks it has."""
DEFAULT_MFU = 0.40
"""For types without published runs: the lowest of those observed."""
GPU_REFERENCE_WIDTH = 4096
GPU_HALF_WIDTH = 512.0
"""Small GEMMs reach less (Calculon's table: ≥ 128 GFLOP 0.95, ≥ 16 0.9, ≥ 1 0.6); scaled so that h = 4096 has the MFU."""
GPU_LAYER_SECONDS = 2.35e-3
"""Launch cost per layer (forward, recompute, backward), eager: 2.3-2.9 ms on A100; a floor where kernels are short."""
GPU_COMPILED_LAYER_SECONDS = 0.8e-3
"""The same with torch.compile (assumed; not measured)."""
GPU_COLLECTIVE_SECONDS = 5.0e-5
LINK_EFFICIENCY = 0.7
"""Of the link's bandwidth that ring collectives reach (assumed)."""
INTER_NODE_BANDWIDTH = 1.25e10
"""Bytes a second and accelerator between nodes: 100 Gbit/s each (assumed; pools do not say theirs)."""
GPU_SIGMA = 0.20
"""Spread of the constant-MFU predictor: p95 error of 26 % on held-out rows."""
EAGER_SPEED = 0.86
"""Speed without torch.compile, whose norms, rotary positions and SwiGLU are single kernels: three published pairs of
Llama-3.1-8B on H100 ran 1.14, 1.16 and 1.21 times as fast compiled."""
DETERMINISTIC_SPEED = 0.9
"""Speed that deterministic kernels keep on a GPU (assumed)."""
OPTIMIZER_BYTES = 28.0
"""Bytes of memory traffic a trainable parameter in fused AdamW: read 16 (parameter, gradient, moments), write 12."""


def kernel_rate(offer: PoolOffer, hidden: int, precision: str) -> float:
    """FLOP/s that the matrix products of one accelerator reach at this hidden size.

    Raises ValueError where neither the pool nor the catalogue knows a rate at this precision.
    """
    if offer.accelerator.kind == "CPU":
        return peak_rate(offer, precision) * CPU_KERNEL_EFFICIENCY * _saturation(hidden, CPU_HALF_WIDTH)
    size = _saturation(hidden, GPU_HALF_WIDTH) / _saturation(GPU_REFERENCE_WIDTH, GPU_HALF_WIDTH)
    return peak_rate(offer, precision) * observed_mfu(offer.accelerator) * size


def peak_rate(offer: PoolOffer, precision: str) -> float:
    """Most FLOP/s that one accelerator executes: measured on the pool, else the catalogue's dense peak. Raises ValueError."""
    peak = offer.measured_flops_per_second or offer.accelerator.peak_flops.get(precision)
    if peak is None:
        raise ValueError(f"pool {offer.name}: no {precision} rate is known for {offer.accelerator.name}")
    return peak


def observed_mfu(spec: AcceleratorSpec) -> float:
    """The published utilisation of that GPU type, or the cautious default."""
    return next((mfu for name, mfu in OBSERVED_MFU.items() if spec.name.startswith(name)), DEFAULT_MFU)


def _saturation(width: float, half: float) -> float:
    return width / (width + half)
