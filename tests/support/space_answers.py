"""Answers of the search, made by hand: what the views are shown without searching."""

from dataclasses import replace

from farthing.domain.plan import Prediction, Rejection
from farthing.planner.space.answer import Choice, Layout, Space
from farthing.units import GIB

LAYOUT = Layout(
    pool="h100x8", accelerator="H100-80GB-SXM", devices=8, nodes=1, precision="bfloat16", sharding="FullShard", dp=8, tp=1,
    sequence_parallel=False, pp=1, vpp=1, cp=1, ep=1, checkpointing="Full", micro_batch=2, accumulation=8, optimizer="adamw",
    adapter="None", attention="sdpa", loss="fused_linear_ce", compile=False, offload=False, executable_by="farthing_trainer",
)  # fmt: skip


def predicted(value, unit, sigma=0.1):
    return Prediction(value, sigma, unit, "made up")


def choice(*, pool="h100x8", nodes=1, allocated=50.0, cost=400.0, **changes):
    """One choice; sizes in GiB of a device of 80."""
    made = Choice(
        layout=replace(LAYOUT, pool=pool, nodes=nodes, devices=8 * nodes),
        memory_terms={
            "forward": {"states": 30 * GIB, "activations": (allocated - 30) * GIB},
            "optimizer_step": {"states": 30 * GIB, "buffers": 5 * GIB},
        },
        allocated=allocated * GIB,
        reserved=1.05 * allocated * GIB,
        safe=1.2 * allocated * GIB,
        capacity=80 * GIB,
        time_terms={"gemm": 3.0, "attention": 0.5, "exposed_communication": 0.0005},
        step_seconds=predicted(3.5005, "s"),
        tokens_per_second=predicted(150_000, "tokens/s"),
        startup_seconds=predicted(60, "s"),
        tokens=predicted(2e9, "tokens", 0.0),
        seconds=predicted(13_400, "s"),
        accelerator_hours=predicted(29.8, "accelerator-hours"),
        flops=predicted(1.2e20, "FLOPs"),
        energy=predicted(20.0, "kWh"),
        cost=None if cost is None else predicted(cost, "USD"),
        loss=predicted(2.31, "nats/token", 0.03),
        binding="tokens",
        interruptions=0.2,
    )
    return replace(made, **changes)


def space(*choices, front=(0,), rejections=(), notes=()):
    return Space(choices=choices, front=front, rejections=rejections, looked_at=12_345, notes=notes)


TOO_LARGE = Rejection("h100x8 x8 None ac=None", "memory", 130.5, 79.1, "GiB")
