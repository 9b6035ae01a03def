"""Published estimators on the rows that they can be asked about, beside ours on the very same rows.

Part of `python -m tests.benchmarks.estimators`, which uses those that can be imported and says which cannot; they are no
dependencies of Farthing. Into an environment of their own, beside Farthing's:

    pip install accelerate deepspeed hjson py-cpuinfo && pip install --no-deps llm-analysis fitcheck-llm && pip install fire

Each is asked in the settings that are closest to the row; a row that it has no setting for is not asked (`Published.asked`).
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from farthing.catalog.devices import device
from farthing.estimates.configuration import Attention, Checkpointing, Floats, Sharding
from farthing.estimates.fitting_memory import fit_memory
from farthing.estimates.fitting_time import fit_time
from farthing.estimates.memory import estimate_memory
from farthing.estimates.rows import MeasuredRows
from farthing.estimates.scoring import averaged, by_group, leave_one_out, merged_groups
from farthing.estimates.throughput import estimate_time
from farthing.units import MIB

Row = Mapping[str, Any]
"""One row's columns of `Configurations`, and its `cells` and `accelerator`."""
NOT_PACKAGED = (
    "Megatron-LM theoretical_memory_usage.py", "EleutherAI cookbook calc_transformer_mem.py", "calculon-ai/calculon", "vTrain",
    "LLMem", "xMem",
)  # fmt: skip
"""In no package that installs: not run here."""
EFFICIENCY = 0.5
"""What llm-analysis says that Megatron-LM reaches; its own default is 1."""


@dataclass(frozen=True, slots=True)
class Published:
    """One estimator: how it is asked, and which measured column its answer is compared with."""

    package: str
    asked: str
    measured: str
    """`peak` (bytes, the row's own metric), `nvidia_smi` (bytes) or `tokens_per_s_per_gpu`."""
    answer: Callable[[Row], float | None]
    """None where the row is outside of what the estimator has settings for."""


def accelerate(row: Row) -> float | None:
    """`accelerate estimate-memory`, training with Adam: a device alone, every parameter trained."""
    if row["devices"] > 1 or row["has_adapter"]:
        return None
    usage = import_module("accelerate.commands.estimate").estimate_training_usage
    dtype = "float32" if row["compute_bytes"] > 2 else "bfloat16"
    return float(max(usage(int(4 * row["parameters"]), dtype).values()))


def deepspeed(row: Row) -> float | None:
    """The estimators of model states under ZeRO 2 and 3; FSDP counts as ZeRO 3, offloaded states as both of its offloads."""
    if row["sharding"] < Sharding.ZERO2 or row["shard_degree"] < 2 or row["has_adapter"] or row["tp"] * row["pp"] > 1:
        return None
    per_node = int(min(row["shard_degree"], row["devices_per_node"]))
    nodes, host = int(row["shard_degree"] // per_node), bool(row["offload_states"])
    where = {"num_gpus_per_node": per_node, "num_nodes": nodes, "cpu_offload": host}
    parameters = int(row["parameters"])
    if row["sharding"] == Sharding.ZERO2:
        module = import_module("deepspeed.runtime.zero.stage_1_and_2")
        return float(module.estimate_zero2_model_states_mem_needs(parameters, **where)[1])
    module, largest = import_module("deepspeed.runtime.zero.stage3"), int(row["embedding_parameters"])
    return float(module.estimate_zero3_model_states_mem_needs(parameters, largest, cpu_offload_params=host, **where)[1])


def llm_analysis(row: Row) -> Mapping[str, float] | None:
    """The summary of llm-analysis' `training` for dense models without adapters or context parallelism."""
    if row["experts"] or row["has_adapter"] or row["cp"] > 1 or not row["peak_flops"] > 0:
        return None
    analysis, config = import_module("llm_analysis.analysis"), import_module("llm_analysis.config")
    analysis.within_range = lambda *_: True  # its check of its own FLOPs refuses grouped queries and gated MLPs
    logging.getLogger(analysis.logger.name).setLevel(logging.ERROR)
    whole = {name: int(row[name]) for name in ("layers", "heads", "hidden", "vocabulary", "active_ffn", "sequence_length")}
    model = config.ModelConfig(
        "row", whole["layers"], whole["heads"], whole["hidden"], whole["vocabulary"], whole["sequence_length"],
        num_key_value_heads=int(row["kv_width"] / row["query_width"] * row["heads"]), ffn_embed_dim=whole["active_ffn"],
        expansion_ratio=row["active_ffn"] / row["hidden"],
    )  # fmt: skip
    rate, link = row["peak_flops"] / 1e12, row["link_bandwidth"] / 1e9
    card = config.GPUConfig("row", 1e6, row["memory_bandwidth"] / 1e9, link, 8e-6, rate)
    tp = int(row["tp"])
    layout = config.ParallelismConfig(tp, int(row["pp"]), int(row["dp"]), 1, tp if row["sequence_parallel"] else 1)
    recomputed = {Checkpointing.NONE: 0, Checkpointing.FULL: 2}.get(Checkpointing(int(row["checkpointing"])), 1)
    wide = row["parameter_bytes"] > 2 or row["master_bytes"] > 0
    try:
        asked = analysis.LLMAnalysis(model, card, config.DtypeConfig(), layout, flops_efficiency=EFFICIENCY)
        found: Mapping[str, float] = asked.training(
            batch_size_per_gpu=int(row["micro_batch"]), gradient_accumulation_steps=int(row["accumulation"]),
            seq_len=whole["sequence_length"], activation_recomputation=analysis.ActivationRecomputation(recomputed),
            ds_zero=analysis.DSZeRO(int(row["sharding"])), master_weights_dtype_bytes=4 if wide else 0,
            other_op_bytes=row["state_bytes"], flash_attn=row["attention"] != Attention.EAGER,
            mlp_gated_linear_units=row["mlp_matrices"] > 2,
        )  # fmt: skip
    except (AssertionError, ValueError, ZeroDivisionError):
        return None
    return found


def llm_analysis_memory(row: Row) -> float | None:
    """Weights, gradients, states and activations."""
    found = llm_analysis(row)
    return None if found is None else float(found["(weight+op_state+grad+act)_memory_per_gpu"])


def llm_analysis_speed(row: Row) -> float | None:
    """Tokens/s of one device."""
    found = llm_analysis(row)
    tokens = row["micro_batch"] * row["accumulation"] * row["dp"] * row["sequence_length"]
    return None if found is None else float(tokens / found["latency_per_iter"] / row["devices"])


def fitcheck(row: Row) -> float | None:
    """fitcheck-llm's process total for one device and equal lengths, adapters on a 16-bit or nf4 base, or none."""
    cells = row["cells"]
    quantized = {"": "none", "none": "none", "nf4": "nf4"}.get(cells["quantized_base"])
    if row["devices"] > 1 or row["experts"] or row["variable_length"] or quantized is None or row["mlp_matrices"] < 3:
        return None
    if row["has_adapter"] and not (cells["lora_rank"] and cells["lora_targets"]):
        return None
    tool = import_module("fitcheck")
    names = ("parameters", "hidden", "layers", "heads")
    model = tool.ModelConfig(
        "row", *(int(row[name]) for name in names), int(row["kv_width"] / row["query_width"] * row["heads"]),
        int(row["active_ffn"]), int(row["vocabulary"]), int(row["query_width"] / row["heads"]), bool(row["tied"]),
    )  # fmt: skip
    training = tool.TrainingConfig(
        precision=cells["compute_dtype"] or "bf16", quantization=quantized, double_quant=cells["double_quant"] == "true",
        batch_size=int(row["micro_batch"]), seq_len=int(row["sequence_length"]),
        lora_rank=int(cells["lora_rank"]) if row["has_adapter"] else None,
        lora_targets=[f"{target}_proj" for target in cells["lora_targets"].split("+")] if row["has_adapter"] else ["q_proj"],
        grad_checkpoint=row["checkpointing"] == Checkpointing.FULL, flash_attn=row["attention"] != Attention.EAGER,
        grad_accum_steps=int(row["accumulation"]),
    )  # fmt: skip
    try:
        report = tool.estimate(model, training, _card(tool, row))
    except ValueError:
        return None
    return float(report.total_mib * MIB)


def _card(tool: Any, row: Row) -> Any:
    """fitcheck's own entry of the device, by the longest of its names that the row's begins with; else its memory alone."""
    plain = row["accelerator"].lower().replace("gb", "").split("-sxm")[0].split("-pcie")[0]
    known = [name for name in dict(tool.list_gpus()) if plain.startswith(name)]
    found = device(row["accelerator"])
    return tool.get_gpu(max(known, key=len)) if known else tool.get_gpu(plain, int(found.memory_bytes / MIB) if found else None)


ESTIMATORS = {
    "accelerate estimate-memory": Published(
        "accelerate", "one device, all parameters trained; batch and length are no input", "peak", accelerate
    ),
    "DeepSpeed estimate_zero{2,3}_model_states_mem_needs": Published(
        "deepspeed", "ZeRO 2 and 3 or FSDP, all parameters trained, no TP or PP; states alone", "peak", deepspeed
    ),
    "llm-analysis, memory": Published(
        "llm-analysis", "dense models without adapters or CP; per-operation recomputation as its selective",
        "peak", llm_analysis_memory,
    ),
    "llm-analysis, tokens/s at half of the peak": Published(
        "llm-analysis", "dense models without adapters or CP", "tokens_per_s_per_gpu", llm_analysis_speed
    ),
    "fitcheck": Published(
        "fitcheck-llm", "one device, equal lengths, gated dense models, nf4 or no quantisation", "nvidia_smi", fitcheck
    ),
}  # fmt: skip


def side_by_side(rows: MeasuredRows, cells: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Errors of each estimator that can be imported, and ours, leaving one source out, on the rows that it was asked about.

    Median and p95 are of the absolute error, averaged over sources with equal weight; `cells` are the file's by row_id.
    """
    found: dict[str, Any] = {"notPackaged": list(NOT_PACKAGED), "absent": [], "ran": {}}
    ours = _ours(rows)
    for name, estimator in ESTIMATORS.items():
        try:
            found["ran"][name] = {"version": version(estimator.package), **_scored(rows, cells, estimator, ours)}
        except (ImportError, PackageNotFoundError) as error:
            found["absent"].append(f"{name}: {error}")
    return found


def _ours(rows: MeasuredRows) -> dict[str, Floats]:
    """Our predictions, leaving one source out, by measured column; memory's constants without the rows that have no peak."""
    predictors = {
        "peak": lambda some, k: some.predicted_peak(estimate_memory(some.configurations, k)),
        "nvidia_smi": lambda some, k: estimate_memory(some.configurations, k).used,
    }
    found = {name: leave_one_out(rows, fit_memory, predict) for name, predict in predictors.items()}
    timed = rows.take(rows.for_time & (rows.groups != "vtrain"))
    found["tokens_per_s_per_gpu"] = np.full(len(rows), np.nan)
    found["tokens_per_s_per_gpu"][rows.for_time & (rows.groups != "vtrain")] = leave_one_out(
        timed, fit_time, lambda some, k: estimate_time(some.configurations, k).tokens_per_second_per_device
    )
    return found


def _scored(
    rows: MeasuredRows, cells: Mapping[str, Mapping[str, str]], estimator: Published, ours: Mapping[str, Floats]
) -> dict[str, Any]:
    measured = getattr(rows, estimator.measured)
    usable = rows.for_time if estimator.measured == "tokens_per_s_per_gpu" else rows.for_memory
    known = np.flatnonzero(usable & np.isfinite(measured) & np.isfinite(ours[estimator.measured]))
    answers = np.full(len(rows), np.nan)
    for at in known:
        answer = estimator.answer(_row(rows, int(at), cells))
        answers[at] = np.nan if answer is None else answer
    asked = np.isfinite(answers)
    groups = merged_groups(rows)

    def error(predicted: Floats) -> dict[str, Any]:
        scores = by_group(groups[asked], predicted[asked], measured[asked])
        figures = {name: round(getattr(averaged(scores), name), 4) for name in ("median", "p95", "bias")}
        return {**figures, "medianBySource": {each.group: round(each.median, 4) for each in scores}}

    counts = dict(zip(*(each.tolist() for each in np.unique(groups[asked], return_counts=True)), strict=True))
    return {
        "asked": estimator.asked, "metric": estimator.measured, "rows": int(asked.sum()), "rowsBySource": counts,
        "published": error(answers), "ours": error(ours[estimator.measured]),
    }  # fmt: skip


def _row(rows: MeasuredRows, at: int, cells: Mapping[str, Mapping[str, str]]) -> Row:
    c = rows.configurations
    columns = {name: float(getattr(c, name)[at]) for name in c.__slots__}
    return {**columns, "cells": cells[str(rows.ids[at])], "accelerator": str(rows.accelerators[at])}
