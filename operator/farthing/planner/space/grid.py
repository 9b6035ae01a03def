"""The legal space of a question: layouts × styles, as index arrays.

A layout is a gang and its split: devices = dp · tp · pp · cp, ep inside dp, sharding, and global batch = dp × micro-batch ×
accumulation exactly. It holds
- gangs that are a part of a node, or whole nodes, up to what a pool has;
- tp that divides heads, key-value heads and the gang's part of a node; pp that divides the layers; cp that divides the
  sequence; ep that divides the routed experts and dp;
- vpp model chunks a stage, interleaved, that divide a stage's layers, where the micro-batches are a multiple of the stages
  (Megatron-LM and torch.distributed.pipelining ask for that); at most 4 unless they are fixed;
- sharding None, ZeRO-1, ZeRO-2 (without pipeline: its stages accumulate gradients) and full sharding over dp · cp ranks, and
  None alone where that is one rank;
- every micro-batch that divides a rank's share of the batch.

A style is what a device does with it: precision, optimizer, adapter, checkpointing, offload, attention, loss, compile.
Attention and loss are the framework's own unless they are fixed. Offload is looked at where it is fixed, and where nothing fits
without it (`search.explore`), for it never makes a step faster; only under full sharding or on one rank, and never with states
of 8 bits and fewer, which are updated on the device. Adapters are looked at over pretrained weights only, decomposed ones
(DoRA, QDoRA) where they are fixed; those over bases in 4 bits (QLoRA, QDoRA) in 16 bits only and without tensor, pipeline,
context and expert parallelism, since packed blocks are not split.

Two switches stand only at their better value unless they are fixed, because the estimates never find the other one smaller or
faster: sequence parallelism on (with tp > 1 that divides the sequence), compile on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from farthing.planner.candidates import divisors
from farthing.planner.space.knobs import (
    CHECKPOINTINGS,
    CHUNKS,
    FREE_ADAPTERS,
    OPTIMIZERS,
    PRECISIONS,
    QUANTIZED,
    SHARDINGS,
    Knobs,
    low_bit,
)
from farthing.planner.space.question import SpaceQuestion

Ints = npt.NDArray[np.int64]
ZERO2, FULL_SHARD = SHARDINGS.index("ZeRO2"), SHARDINGS.index("FullShard")
HALF = ("bfloat16", "float16")
BETTER = {"None": (), "SelectiveOp": ("None",), "Selective2": ("None",), "Full": ("None", "SelectiveOp", "Selective2")}
"""Checkpointing → those that compute no part of a step more often, and some less often."""


@dataclass(frozen=True, slots=True)
class Layouts:
    """n gangs with their split and batch; one array a property."""

    devices: Ints
    nodes: Ints
    dp: Ints
    tp: Ints
    pp: Ints
    cp: Ints
    ep: Ints
    sequence_parallel: Ints
    sharding: Ints
    """Position in SHARDINGS: the integer of `Sharding`."""
    vpp: Ints
    micro_batch: Ints
    accumulation: Ints

    def __len__(self) -> int:
        return len(self.devices)

    @property
    def shard_degree(self) -> Ints:
        """Ranks that hold one copy of the sharded states."""
        return np.where(self.sharding > 0, self.dp * self.cp, 1)


@dataclass(frozen=True, slots=True)
class Style:
    """How a device works. `attention` and `loss` are None where the framework's own holds."""

    precision: str
    optimizer: str
    adapter: str
    checkpointing: str
    offload: bool
    compile: bool
    attention: str | None = None
    loss: str | None = None


def layouts(question: SpaceQuestion, per_node: int, most: int, knobs: Knobs) -> Layouts:
    """All legal ones on nodes of `per_node` devices with at most `most` devices, in a fixed order."""
    rows = [row for split in _splits(question, per_node, most, knobs) for row in _batches(question, split, knobs)]
    table = np.array(rows, dtype=np.int64).reshape(len(rows), len(fields(Layouts))).T
    return Layouts(*np.ascontiguousarray(table))


def gangs(per_node: int, most: int) -> list[int]:
    """Sizes: 1 to a node, then whole nodes."""
    return [*range(1, min(per_node, most) + 1), *range(2 * per_node, most + 1, per_node)]


def _splits(question: SpaceQuestion, per_node: int, most: int, knobs: Knobs) -> Iterator[tuple[int, ...]]:
    """(devices, nodes, dp, tp, pp, cp, ep) of every gang."""
    model, batch = question.architecture, question.global_batch
    allowed = {name: _divide(name, question, knobs) for name in ("tp", "pp", "cp", "ep")}
    for devices in _kept(gangs(per_node, most), knobs.get("devices")):
        per_pod = min(devices, per_node)
        for tp, pp, cp in product(allowed["tp"], allowed["pp"], allowed["cp"]):
            dp, rest = divmod(devices, tp * pp * cp)
            if rest or dp == 0 or batch % dp or per_pod % tp or model.kv_heads % tp:
                continue
            for ep in allowed["ep"]:
                if dp % ep == 0:
                    yield devices, devices // per_pod, dp, tp, pp, cp, ep


def _divide(name: str, question: SpaceQuestion, knobs: Knobs) -> Sequence[int]:
    """Degrees that divide what they split, ascending."""
    model = question.architecture
    whole = {
        "tp": model.heads, "pp": model.layers, "cp": question.sequence_length,
        "ep": model.mixture.routed if model.mixture else 1,
    }[name]  # fmt: skip
    return _kept(divisors(whole), knobs.get(name))


def _kept(every: Sequence[Any], fixed: Sequence[Any] | None) -> Sequence[Any]:
    return every if fixed is None else [each for each in every if each in fixed]


def _batches(question: SpaceQuestion, split: tuple[int, ...], knobs: Knobs) -> Iterator[tuple[int, ...]]:
    """The split with sequence parallelism, sharding, chunks of a stage and every micro-batch."""
    _, _, dp, tp, pp, cp, _ = split
    possible = tp > 1 and question.sequence_length % tp == 0
    switches = _kept((False, True) if possible else (False,), knobs.get("sequence_parallel", (possible,)))
    each = question.global_batch // dp
    sizes = _kept(divisors(each), knobs.get("micro_batch"))
    chunks = _kept(divisors(question.architecture.layers // pp) if pp > 1 else [1], knobs.get("vpp", CHUNKS))
    for switch, sharding, vpp, micro in product(switches, _shardings(dp * cp, pp, knobs), chunks, sizes):
        if vpp == 1 or each // micro % pp == 0:
            yield (*split, int(switch), sharding, vpp, micro, each // micro)


def _shardings(ranks: int, pp: int, knobs: Knobs) -> list[int]:
    """On one rank there is nothing to shard: None, or what was fixed instead of it."""
    wanted = [SHARDINGS.index(name) for name in knobs.get("sharding", SHARDINGS)]
    legal = [each for each in wanted if not (each == ZERO2 and pp > 1)]
    if ranks == 1:
        return [0] if 0 in legal else legal[:1]
    return legal


def styles(question: SpaceQuestion, knobs: Knobs) -> list[Style]:
    """Every legal one, in a fixed order; which precision a device has is the pool's matter."""
    adapters = [each for each in knobs.get("adapter", FREE_ADAPTERS) if question.pretrained or each == "None"]
    every = product(
        knobs.get("precision", PRECISIONS), knobs.get("optimizer", OPTIMIZERS), adapters,
        knobs.get("checkpointing", CHECKPOINTINGS), knobs.get("offload", (False,)), knobs.get("compile", (True,)),
        knobs.get("attention", (None,)), knobs.get("loss", (None,)),
    )  # fmt: skip
    return [style for style in (Style(*each) for each in every) if _exists(style)]


def _exists(style: Style) -> bool:
    """Whether somebody has the kernels: 4-bit bases compute in 16 bits, and states of few bits are updated on the device."""
    return (style.adapter not in QUANTIZED or style.precision in HALF) and not (style.offload and low_bit(style.optimizer))


def suits(layouts: Layouts, style: Style) -> npt.NDArray[np.bool_]:
    """Which layouts the style can be combined with."""
    fine = np.ones(len(layouts), dtype=bool)
    if style.adapter in QUANTIZED:
        fine &= layouts.tp * layouts.pp * layouts.cp * layouts.ep == 1
    if style.offload:
        fine &= (layouts.sharding == FULL_SHARD) | (layouts.dp * layouts.cp == 1)
    return fine


def preferred(styles: Sequence[Style]) -> list[list[int]]:
    """For each style the positions of those that do the same work with no more recomputation and offloading.

    On a layout where one of them fits, the style need not be looked at: a step is never faster with it, so that whatever it
    reaches, the other reaches in no more time and for no more money, energy and FLOPs.
    """
    positions = {style: position for position, style in enumerate(styles)}
    return [[positions[other] for other in _better(style) if other in positions] for style in styles]


def _better(style: Style) -> Iterator[Style]:
    checkpointings = (*BETTER[style.checkpointing], style.checkpointing)
    for checkpointing, offload in product(checkpointings, (False, True) if style.offload else (False,)):
        if (checkpointing, offload) != (style.checkpointing, style.offload):
            yield Style(
                style.precision,
                style.optimizer,
                style.adapter,
                checkpointing,
                offload,
                style.compile,
                style.attention,
                style.loss,
            )


def ranks(others: Sequence[Sequence[int]]) -> list[list[int]]:
    """Positions by length of the longest chain of preferred ones before them: those of one rank do not wait for each other."""
    depth: dict[int, int] = {}

    def of(position: int) -> int:
        if position not in depth:
            depth[position] = max((of(other) + 1 for other in others[position]), default=0)
        return depth[position]

    found: dict[int, list[int]] = {}
    for position in range(len(others)):
        found.setdefault(of(position), []).append(position)
    return [found[rank] for rank in sorted(found)]
