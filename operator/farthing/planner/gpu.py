"""Candidates on GPUs as columns of the estimators, and what those say of them.

A strategy is read as a measured run of our own trainer would be: cells by the ground truth's schema, under the trainer's policy
in `catalog/frameworks/farthing.toml`. Candidates of one kind differ in sizes alone, so each kind is read once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import nan
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from farthing.contract.shape import ModelShape
from farthing.domain.plan import MemoryEstimate
from farthing.domain.planning import PlanRequest, PoolOffer
from farthing.errors import InvalidSpec
from farthing.estimates.configuration import Configurations, configurations
from farthing.estimates.memory import estimate_memory
from farthing.estimates.results import MemoryBreakdown
from farthing.estimates.rows_columns import row_columns
from farthing.estimates.throughput import estimate_time
from farthing.estimates.throughput.sustained import is_known
from farthing.planner import rates
from farthing.planner.candidates import Candidate, Estimate, is_sharded
from farthing.planner.offers import measured_precision

FRAMEWORK = "farthing"
DETERMINISTIC_SPEED = 0.9
"""Speed that deterministic kernels keep (assumed)."""
DTYPES = {"bfloat16": "bf16", "float32": "fp32"}


class _Kind(NamedTuple):
    """What candidates have in common whose columns differ in sizes alone."""

    offer: int
    precision: str
    sharded: bool
    root_unit: bool
    checkpointing: str
    compile: bool


def estimate_gpus(request: PlanRequest, candidates: Sequence[Candidate]) -> list[Estimate]:
    """Memory and step time of every candidate, all at once. Raises InvalidSpec for a pool whose rates nobody knows."""
    if not candidates:
        return []
    columns = gpu_configurations(request, candidates)
    time = estimate_time(columns)
    slower = np.array([DETERMINISTIC_SPEED if each.strategy.deterministic else 1.0 for each in candidates])
    seconds = (time.step_seconds / slower).tolist()
    memories = _memory_estimates(estimate_memory(columns), len(candidates))
    known = is_known(columns).tolist()
    sources = [_source(each, bool(flag)) for each, flag in zip(candidates, known, strict=True)]
    return [Estimate(*each) for each in zip(memories, seconds, time.sigma.tolist(), sources, strict=True)]


def gpu_configurations(request: PlanRequest, candidates: Sequence[Candidate]) -> Configurations:
    """One element a candidate, in their order. Raises InvalidSpec for a pool whose rates nobody knows."""
    offers = {id(each.offer): each.offer for each in candidates}
    numbers = {key: number for number, key in enumerate(offers)}
    kinds: dict[_Kind, int] = {}
    index = np.array([kinds.setdefault(_kind(each, numbers), len(kinds)) for each in candidates], dtype=np.intp)
    pools = list(offers.values())
    read = [_kind_columns(request, kind, pools[kind.offer]) for kind in kinds]
    columns: dict[str, Any] = {
        each.name: np.array([kind[each.name] for kind in read])[index] for each in fields(Configurations)
    }
    return configurations(columns | _sizes(candidates, columns))


def _kind(each: Candidate, numbers: Mapping[int, int]) -> _Kind:
    strategy, sharded = each.strategy, is_sharded(each.allocation, each.strategy)
    root_unit = sharded and strategy.grouping == "Root"
    return _Kind(
        numbers[id(each.offer)], strategy.precision, sharded, root_unit, strategy.activation_checkpointing, strategy.compile
    )


def _sizes(candidates: Sequence[Candidate], columns: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
    """What differs between candidates of one kind.

    The trainer averages whole gradients of a gang in one flat buffer beside them, just before the optimizer's step.
    """
    facts = [(each.allocation.accelerators, each.strategy.micro_batch, each.strategy.accumulation) for each in candidates]
    devices, micro, accumulation = np.array(facts, dtype=np.float64).T
    sharded = columns["sharding"] > 0
    return {
        "devices": devices,
        "dp": devices,
        "shard_degree": np.where(sharded, devices, 1.0),
        "micro_batch": micro,
        "accumulation": accumulation,
        "step_transient_bytes": np.where(sharded | (devices == 1), 0.0, columns["reduce_bytes"]),
    }


def _kind_columns(request: PlanRequest, kind: _Kind, offer: PoolOffer) -> dict[str, float]:
    """The columns of a smallest candidate of the kind: one micro-batch of one sequence on one device, or on two that shard."""
    devices = "2" if kind.sharded else "1"
    cells = {
        **_model_cells(request.shape),
        "framework": FRAMEWORK,
        "gpu": offer.accelerator.name,
        "n_gpus": devices,
        "seq_len": str(request.sequence_length),
        "seq_len_kind": "fixed",
        "micro_batch": "1",
        "grad_accum": "1",
        "shard": "zero3" if kind.sharded else "none",
        "compute_dtype": DTYPES[kind.precision],
        "ac": kind.checkpointing.lower(),
        "compile": str(kind.compile).lower(),
        "peft": request.adapter.lower(),
        "trainable_params": str(request.adapter_parameters or ""),
    }
    columns, _ = row_columns(cells)
    return columns | _hardware(offer, kind.precision) | {"root_unit": float(kind.root_unit)}


def _model_cells(shape: ModelShape) -> dict[str, str]:
    sizes = {
        "hidden": shape.hidden, "layers": shape.layers, "heads": shape.heads, "kv_heads": shape.kv_heads,
        "head_dim": shape.head_dim, "ffn": shape.ffn, "vocab": shape.vocabulary, "n_params": shape.parameters,
    }  # fmt: skip
    flags = {"gated_mlp": "true", "tied_embeddings": str(shape.tied_embeddings).lower()}
    return {name: str(size) for name, size in sizes.items()} | flags


def _hardware(offer: PoolOffer, precision: str) -> dict[str, float]:
    """The datasheet's rates, which the estimators turn into sustained ones, or the pool's measured ones taken as sustained."""
    spec = offer.accelerator
    peak = rates.peak_flops(offer, precision, spec.peak_flops.get(precision))
    bandwidth = rates.memory_bandwidth(offer, spec.memory_bandwidth)
    return {
        "device_memory": float(offer.memory_bytes or spec.memory_bytes or nan),
        "peak_flops": _known(peak, offer, "flopsPerSecond"),
        "peak_fp8_flops": 0.0,
        "memory_bandwidth": _known(bandwidth, offer, "memoryBytesPerSecond"),
        "link_bandwidth": _known(spec.link_bandwidth, offer, "link bandwidth"),
        "inter_node_bandwidth": rates.network_bandwidth(offer),
        "devices_per_node": float(offer.accelerators_per_node),
    }


def _known(rate: float | None, offer: PoolOffer, name: str) -> float:
    if not rate:
        remedy = f"pool {offer.name}: nobody publishes the {name} of {offer.accelerator.name}; set it on the pool as measured, "
        raise InvalidSpec("spec.rate", rate, f"{remedy}or add it to the row in accelerators.toml")
    return rate


def _memory_estimates(found: MemoryBreakdown, count: int) -> list[MemoryEstimate]:
    """Term by term of each candidate; terms and phases that are nothing there are left out."""
    named = [(phase, name, column.tolist()) for phase, terms in found.terms.items() for name, column in terms.items()]
    terms: list[dict[str, dict[str, float]]] = [{} for _ in range(count)]
    for phase, name, column in named:
        for mine, size in zip(terms, column, strict=True):
            if size:
                mine.setdefault(phase, {})[name] = size
    return [MemoryEstimate(*each) for each in zip(terms, found.context.tolist(), found.safe_factor.tolist(), strict=True)]


def _source(each: Candidate, known: bool) -> str:
    """What the speed rests on."""
    name = each.offer.accelerator.name
    if known:
        return f"roofline of {name} by its datasheet and published rate of products, fitted on measured runs"
    if measured_precision(each.offer) == each.strategy.precision:
        return f"roofline of {name} at the pool's measured rate, fitted on measured runs of other devices"
    return f"roofline of {name} by its datasheet alone: no measured rate of it is known, so the spread is wider"
