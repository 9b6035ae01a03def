"""Memory and step time of layouts × styles, by the estimators' columns.

A style's bytes an element and kernels come from the framework's policy, once for each style and level of sharding; sizes come
from the layouts. Both are picked by position, so that a block of any members is a few dozen look-ups.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt

from farthing.catalog.frameworks import Framework, framework
from farthing.estimates.configuration import Configurations, Floats, Sharding, configurations
from farthing.estimates.memory import estimate_memory
from farthing.estimates.rows_columns import policy_columns, ruled_cells
from farthing.estimates.throughput import estimate_time
from farthing.estimates.throughput.passes import attention_again, matmuls_again, weight_gradients
from farthing.models import model_columns
from farthing.planner.space.grid import Ints, Layouts, Style
from farthing.planner.space.knobs import QUANTIZED
from farthing.planner.space.question import SpaceQuestion
from farthing.planner.space.sites import DTYPES, Site

BLOCK = 16384
"""Members estimated at once: their columns stay in the processor's cache."""
CHECKPOINTING = {"None": "none", "SelectiveOp": "selective_op", "Selective2": "selective_every_n", "Full": "full"}
PEFT = {"None": "none", "LoRA": "lora", "DoRA": "dora", "QLoRA": "qlora", "QDoRA": "qdora"}
SIZES = ("devices", "dp", "tp", "pp", "vpp", "cp", "ep", "sequence_parallel", "sharding", "micro_batch", "accumulation")
"""Columns that are the layout's own arrays."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """What the framework's policy makes of each style at each level of sharding."""

    columns: Mapping[str, Floats]
    """By name, flat: level × number of styles + style; one element where all are alike."""
    trainable: Floats
    """Parameters that each style trains."""
    attention: tuple[str, ...]
    loss: tuple[str, ...]
    """Of each style, as the policy leaves them."""


def kinds(question: SpaceQuestion, styles: Sequence[Style], accelerator: str) -> Kinds:
    """The policy's columns of each style on that accelerator (a rule may ask for it)."""
    policy = framework(question.framework)
    read = [[_kind(question, policy, style, level, accelerator) for style in styles] for level in range(len(Sharding))]
    flat = {name: np.array([columns[name] for row in read for columns, _ in row]) for name in read[0][0][0]}
    cells = [cells for _, cells in read[0]]
    return Kinds(
        columns={name: column[:1] if (column == column[0]).all() else column for name, column in flat.items()},
        trainable=flat["trainable"][: len(styles)],
        attention=tuple(each["attention"] for each in cells),
        loss=tuple(each["loss_impl"] for each in cells),
    )


def _kind(
    question: SpaceQuestion, policy: Framework, style: Style, level: int, accelerator: str
) -> tuple[dict[str, float], dict[str, str]]:
    layout = {"sharding": float(level), "shard_degree": 2.0 if level else 1.0}
    cells = ruled_cells(policy, policy.filled(style_cells(style, question.lora_rank)), accelerator, layout)
    return policy_columns(policy, cells, {**model_columns(question.architecture), **layout}), cells


def style_cells(style: Style, lora_rank: int) -> dict[str, str]:
    """The style as a measured row would state it; cells that it leaves open stay empty."""
    wide, products = style.precision == "float32", "bfloat16" if style.precision == "fp8" else style.precision
    cells = {
        "compute_dtype": DTYPES[products], "fp8": str(style.precision == "fp8").lower(),
        "optimizer": style.optimizer.lower(), "peft": PEFT[style.adapter], "lora_rank": str(lora_rank),
        "quantized_base": "nf4" if style.adapter in QUANTIZED else "none", "double_quant": "true",
        "ac": CHECKPOINTING[style.checkpointing], "cpu_offload": str(style.offload).lower(),
        "compile": str(style.compile).lower(), "attention": style.attention or "", "loss_impl": style.loss or "",
    }  # fmt: skip
    return cells | ({"param_dtype": "fp32", "amp": "false"} if wide else {})


@dataclass(frozen=True, slots=True)
class Grid:
    """Layouts and styles with all that columns are picked from."""

    question: SpaceQuestion
    layouts: Layouts
    styles: tuple[Style, ...]
    kinds: Kinds
    sizes: Mapping[str, Floats]
    """Columns that the layouts decide."""
    model: Mapping[str, float]
    """Columns that the model decides."""

    @classmethod
    def of(cls, question: SpaceQuestion, layouts: Layouts, styles: Sequence[Style], accelerator: str) -> "Grid":
        """With the policy's columns on that accelerator."""
        sizes = {name: getattr(layouts, name).astype(np.float64) for name in (*SIZES, "shard_degree")}
        known = kinds(question, styles, accelerator)
        return cls(question, layouts, tuple(styles), known, sizes, model_columns(question.architecture))

    def columns(self, rows: Ints, styles: Ints, site: Site | None = None) -> Configurations:
        """Members by position of layout and of style, on that site's devices; without one for memory alone."""
        length, count = float(self.question.sequence_length), len(self.styles)
        picked: dict[str, Any] = {name: column[rows] for name, column in self.sizes.items()}
        kind = self.layouts.sharding[rows] * count + styles
        picked |= {name: column if len(column) == 1 else column[kind] for name, column in self.kinds.columns.items()}
        picked |= {**self.model, **self._hardware(styles, site)}
        return configurations({
            **picked, "sequence_length": length, "longest_sequence": length,
            "async_tp": 0.0, "root_unit": 0.0, "variable_length": 0.0,
        })  # fmt: skip

    def _hardware(self, styles: Ints, site: Site | None) -> dict[str, Any]:
        names = (
            "device_memory", "peak_flops", "peak_fp8_flops", "memory_bandwidth", "link_bandwidth", "inter_node_bandwidth",
            "devices_per_node",
        )  # fmt: skip
        if site is None:
            return dict.fromkeys(names, nan) | {"is_cpu": 0.0}
        peaks = np.array([site.peak("bfloat16" if style.precision == "fp8" else style.precision) for style in self.styles])
        values = (
            site.capacity, peaks[styles], site.device.peak("fp8"), site.memory_bandwidth, site.device.link_bandwidth,
            site.network_bandwidth, float(site.offer.accelerators_per_node),
        )  # fmt: skip
        return dict(zip(names, values, strict=True)) | {"is_cpu": 0.0}


def safe_bytes(grid: Grid, positions: Sequence[int], wanted: npt.NDArray[np.bool_]) -> Floats:
    """What admission compares with a device's memory, by position of style; infinite where it is not wanted.

    `wanted` and the answer have the shape (positions, layouts). fp8 is a matter of the products alone: such a style keeps the
    same bytes as its 16-bit twin, and both are estimated at once.
    """
    twin = [_twin([grid.styles[position] for position in positions], at) for at in range(len(positions))]
    union = np.zeros_like(wanted)
    np.logical_or.at(union, twin, wanted)
    found = np.full(wanted.shape, np.inf)
    at, rows = np.nonzero(union)
    styles = np.array(positions)[at]
    found[at, rows] = in_blocks(lambda part: estimate_memory(grid.columns(rows[part], styles[part])).safe, len(rows))
    return np.where(wanted, found[twin], np.inf)


def _twin(styles: Sequence[Style], position: int) -> int:
    style = styles[position]
    wanted = replace(style, precision="bfloat16") if style.precision == "fp8" else style
    return styles.index(wanted) if wanted in styles else position


@dataclass(frozen=True, slots=True)
class Timing:
    """Of n members: seconds of a step, relative spread of it, and FLOPs executed by the whole gang."""

    step_seconds: Floats
    sigma: Floats
    step_flops: Floats


def timing(grid: Grid, rows: Ints, styles: Ints, site: Site) -> Timing:
    """Members by position of layout and of style."""

    def block(part: slice) -> Floats:
        columns = grid.columns(rows[part], styles[part], site)
        found = estimate_time(columns)
        return np.stack((found.step_seconds, found.sigma, step_flops(columns)))

    return Timing(*in_blocks(block, len(rows), rank=3))


def in_blocks(estimate: Callable[[slice], Floats], count: int, rank: int = 0) -> Floats:
    """The estimate of `count` members block by block, joined along its last axis."""
    if count == 0:
        return np.zeros((rank, 0) if rank else 0)
    return np.concatenate([estimate(part) for part in _blocks(count)], axis=-1)


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, BLOCK):
        yield slice(start, start + BLOCK)


def step_flops(c: Configurations) -> Floats:
    """FLOPs executed in one step, recomputation included: `contract.flops` on columns, for every model and checkpointing.

    A token takes 6 FLOPs a matmul parameter that it passes (4 over a frozen base) and 12·L·q·s of attention. What runs again of
    the blocks' forward pass is added; the head is never recomputed.
    """
    blocks, attention = c.layers * c.layer_matmul_parameters, 4.0 * c.layers * c.query_width * c.sequence_length
    once = (4.0 + 2.0 * weight_gradients(c)) * (blocks + c.embedding_parameters) + 3.0 * attention
    again = 2.0 * matmuls_again(c) * blocks + attention_again(c) * attention
    return (once + again) * c.micro_batch * c.accumulation * c.dp * c.sequence_length
