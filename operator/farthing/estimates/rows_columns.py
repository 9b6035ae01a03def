"""One measured row → the columns of `Configurations`: cells filled by the framework's policy, then plain arithmetic."""

from collections.abc import Mapping
from math import nan

from farthing.catalog.devices import Device, device
from farthing.catalog.frameworks import Framework, framework, general
from farthing.estimates.configuration import Attention, Checkpointing, Loss, Sharding
from farthing.estimates.rows_cells import Cells, RowRefused, flag, given, positive, word
from farthing.estimates.rows_model import adapter_parameters, decomposed, row_model
from farthing.estimates.rows_optimizer import optimizer_columns, paged
from farthing.models import model_columns
from farthing.units import GIB

CHECKPOINTING = {
    "none": Checkpointing.NONE, "full": Checkpointing.FULL, "selective_op": Checkpointing.SELECTIVE_OP,
    "selective_every_n": Checkpointing.SELECTIVE_EVERY_N, "selective_attn": Checkpointing.SELECTIVE_ATTENTION,
}  # fmt: skip
ATTENTION = {"eager": Attention.EAGER, "sdpa": Attention.SDPA, "flash": Attention.FLASH, "flex": Attention.FLASH}
LOSS = {
    "eager": Loss.EAGER, "compiled": Loss.COMPILED, "fused_ce": Loss.FUSED_CE, "fused_linear_ce": Loss.FUSED_LINEAR,
    "chunked_ce": Loss.CHUNKED,
}  # fmt: skip
SHARDING = {"none": Sharding.NONE, "zero1": Sharding.ZERO1, "zero2": Sharding.ZERO2, "zero3": Sharding.ZERO3}
DATA_MODES = {
    "": 0.0,
    "fixed": 0.0,
    "packed": 0.0,
    "padded_to_max": 0.0,
    "padded": 1.0,
    "padding_free": 1.0,
    "padding_free+multipack": 1.0,
}
LENGTH_KINDS = ("", "fixed", "cap", "longest")

NOMINAL_USABLE = 0.98
"""Usable ÷ nominal memory of a device outside the catalogue, as the catalogue assumes for HBM."""
NODE = 8.0
"""Devices of a node where a row does not say: the common build of SXM and OAM boards."""


def row_columns(cells: Cells) -> tuple[dict[str, float], dict[str, str]]:
    """The columns, and the cells as filled and ruled. Raises RowRefused for what is missing or not modelled."""
    policy = framework(cells.get("framework", ""))
    accelerator = _device(cells)
    filled = policy.filled(cells)
    layout = _layout(filled)
    filled = ruled_cells(policy, filled, accelerator.name if accelerator else cells.get("gpu", ""), layout)
    columns = {**model_columns(row_model(filled)), **layout, **_hardware(filled, accelerator), **_batch(filled, layout)}
    columns |= policy_columns(policy, filled, columns)
    return columns | paged(filled, columns), filled


def ruled_cells(policy: Framework, filled: Cells, accelerator: str, layout: Mapping[str, float]) -> dict[str, str]:
    """The filled row after the framework's rules, with the facts that they may ask for; `layout`: sharding, shard_degree."""
    facts = {
        "accelerator": accelerator,
        "sharded": str(layout["sharding"] == Sharding.ZERO3 and layout["shard_degree"] > 1).lower(),
        "adapter": str(filled["peft"] != "none").lower(),
        "quantized": str(filled["quantized_base"] != "none").lower(),
    }
    return policy.ruled({**filled, **facts})


def policy_columns(policy: Framework, ruled: Cells, columns: dict[str, float]) -> dict[str, float]:
    """Kernels, and bytes an element of every kind, of a ruled row; `columns`: those of the model and of the layout.

    Raises RowRefused for what is not modelled.
    """
    return {**_kernels(ruled), **_precision(ruled, policy, columns)}


def _device(cells: Cells) -> Device | None:
    label, memory = cells.get("gpu", "").strip(), given(cells, "gpu_memory_gib")
    return (device(f"{label}-{memory:g}GB") if memory else None) or device(label)


def _hardware(cells: Cells, accelerator: Device | None) -> dict[str, float]:
    """Device facts. Memory of a size that the row does not say is unknown; a device outside the catalogue has no peaks."""
    per_node = positive(cells, "gpus_per_node", min(NODE, positive(cells, "n_gpus")))
    nominal, gbit = given(cells, "gpu_memory_gib"), given(cells, "inter_node_gbps")
    memory = nan if nominal is None else nominal * NOMINAL_USABLE * GIB
    compute = cells["compute_dtype"]
    return {
        "device_memory": accelerator.memory_bytes if accelerator and nominal is not None else memory,
        "peak_flops": accelerator.peak(compute) if accelerator else nan,
        "peak_fp8_flops": accelerator.peak("fp8") if accelerator else 0.0,
        "memory_bandwidth": accelerator.memory_bandwidth if accelerator else nan,
        "link_bandwidth": accelerator.link_bandwidth if accelerator else nan,
        "inter_node_bandwidth": gbit * 1e9 / 8 / per_node if gbit else nan,
        "devices_per_node": per_node,
        "is_cpu": 0.0,
    }


def _layout(cells: Cells) -> dict[str, float]:
    """Degrees of parallelism; an empty dp follows from the number of devices."""
    devices = positive(cells, "n_gpus")
    tp, pp, cp, ep = (positive(cells, name, 1.0) for name in ("tp", "pp", "cp", "ep"))
    if positive(cells, "naive_mp", 1.0) > 1:
        raise RowRefused("naive_mp above 1 is not modelled")
    dp = positive(cells, "dp", devices / (tp * pp * cp))
    if abs(dp * tp * pp * cp - devices) > 1e-6 * devices:
        raise RowRefused(f"dp·tp·pp·cp = {dp * tp * pp * cp:g} is not n_gpus = {devices:g}")
    sharding = word(cells, "shard", SHARDING)
    interleaved = cells.get("pp_schedule", "").startswith("interleaved")
    return {
        "devices": devices, "dp": dp, "tp": tp, "pp": pp, "cp": cp, "ep": ep, "sharding": float(sharding),
        "shard_degree": positive(cells, "shard_degree", dp * cp) if sharding else 1.0,
        "sequence_parallel": flag(cells, "sequence_parallel") if tp > 1 else 0.0,
        "async_tp": flag(cells, "async_tp"),
        "vpp": positive(cells, "vpp", 2.0 if interleaved else 1.0),
        "root_unit": 0.0,
    }  # fmt: skip


def _batch(cells: Cells, layout: dict[str, float]) -> dict[str, float]:
    """Lengths and sequences. A local batch without micro-batch is split into one micro-batch a pipeline stage."""
    varying = word(cells, "data_mode", DATA_MODES)
    kind = cells.get("seq_len_kind", "").strip()
    if kind not in LENGTH_KINDS:
        raise RowRefused(f"seq_len_kind {kind!r} is not modelled")
    limit, mean = given(cells, "seq_len"), given(cells, "tokens_per_sample")
    fixed = limit is not None and (kind == "fixed" or not varying)
    length = limit if fixed else mean or limit
    if not length:
        raise RowRefused("seq_len and tokens_per_sample are empty")
    micro, accumulation = _micro_batches(cells, layout)
    longest = length * _longest_over_mean(cells["data_mode"], micro) if varying and mean and not fixed else length
    if limit is not None and not fixed:
        longest = limit if kind == "longest" else min(longest, limit)
    return {
        "sequence_length": length, "longest_sequence": max(longest, length), "micro_batch": micro, "accumulation": accumulation,
        "variable_length": 0.0 if fixed else varying,
    }  # fmt: skip


def _longest_over_mean(data_mode: str, micro: float) -> float:
    """Tokens per sequence of a run's longest batch ÷ the mean, for `micro` sequences."""
    law = general()["lengths"][data_mode]
    return max(1.0, float(law["factor"] * micro ** law["power"] + law["excess"] / micro))


def _micro_batches(cells: Cells, layout: dict[str, float]) -> tuple[float, float]:
    """Sequences of a micro-batch, and micro-batches of a step."""
    micro, local, total = (given(cells, name) for name in ("micro_batch", "local_batch", "global_batch"))
    stated = given(cells, "grad_accum")
    if 0.0 in (micro, local, total, stated):
        raise RowRefused("micro_batch, local_batch, global_batch or grad_accum is 0")
    local = local or (total / layout["dp"] if total else None)
    if micro is None:
        if local is None:
            raise RowRefused("micro_batch, local_batch and global_batch are empty")
        accumulation = stated if stated and local / stated >= 1 else min(layout["pp"], local)
        if local % accumulation:
            accumulation = 1.0 if layout["pp"] == 1 else accumulation
        return local / accumulation, accumulation
    return micro, max(local / micro, 1.0) if local else stated or 1.0


def _kernels(cells: Cells) -> dict[str, float]:
    checkpointing = word(cells, "ac", CHECKPOINTING)
    compiled, fused = flag(cells, "compile"), flag(cells, "fused_kernels")
    loss = "fused_linear_ce" if flag(cells, "liger") and cells["loss_impl"] == "eager" else cells["loss_impl"]
    return {
        "checkpointing": float(checkpointing),
        "checkpoint_every": positive(cells, "ac_n", 2.0) if checkpointing == Checkpointing.SELECTIVE_EVERY_N else 1.0,
        "attention": float(word(cells, "attention", ATTENTION)),
        "loss": float(word({"loss_impl": loss}, "loss_impl", LOSS)),
        "compiled": compiled,
        "fused_norms": max(flag(cells, "fused_norms"), fused, flag(cells, "liger")),
        "optimizer_in_backward": flag(cells, "optimizer_in_backward"),
        "offload_states": flag(cells, "cpu_offload"),
        "offload_activations": flag(cells, "activation_offload"),
        "fp8": _fp8(cells),
        "expandable_segments": flag(cells, "expandable_segments"),
    }


def _fp8(cells: Cells) -> float:
    recipe = cells.get("lowp_recipe", "").strip()
    if not recipe or recipe == "none":
        return flag(cells, "fp8")
    if not recipe.startswith(tuple(general()["recipes"]["float8"])):
        raise RowRefused(f"lowp_recipe {recipe!r} is not modelled")
    return 1.0


def _precision(cells: Cells, policy: Framework, columns: dict[str, float]) -> dict[str, float]:
    """Bytes an element of what is resident, of gradients, states and activations."""
    try:
        sizes = policy.bytes_of(cells)
        stated_gradient = general()["dtypes"][cells["grad_dtype"]] if cells.get("grad_dtype") else None
    except KeyError as error:
        raise RowRefused(f"dtype {error.args[0]!r} is not modelled") from None
    adapter, quantized = cells["peft"] != "none", cells["quantized_base"] != "none"
    if quantized and not adapter:
        raise RowRefused(f"quantized_base {cells['quantized_base']!r} without an adapter is not modelled")
    parameter = sizes["adapter"] if adapter else sizes["parameter"]
    gradient = stated_gradient or (sizes["adapter"] if adapter else sizes["gradient"])
    compute = sizes["compute"]
    wide = parameter > compute and columns["shard_degree"] == 1 and flag(cells, "amp")
    return {
        "compute_bytes": compute,
        "parameter_bytes": parameter,
        "frozen_bytes": _quantized_bytes(cells) if quantized else sizes["frozen"],
        "frozen_other_bytes": sizes["frozen_other"],
        "gradient_bytes": gradient,
        "extra_gradient_bytes": sizes["extra_gradient"],
        "master_bytes": sizes["master"] or (4.0 if flag(cells, "master_weights") else 0.0),
        **optimizer_columns(cells, sizes, columns, parameter=parameter, adapter=adapter),
        "reduce_bytes": _reduce(policy, sizes, gradient),
        "residual_bytes": sizes["residual"],
        "autocast_copy": float(bool(wide)),
        "trainable": adapter_parameters(cells, columns) if adapter else columns["parameters"],
        "has_adapter": float(adapter),
        "quantized": float(quantized),
        **decomposed(cells, columns),
    }


def _reduce(policy: Framework, sizes: dict[str, float], gradient: float) -> float:
    return gradient if policy.bytes_an_element["reduce"] == "gradient" else sizes["reduce"]


def _quantized_bytes(cells: Cells) -> float:
    kinds = general()["quantized"]
    name = cells["quantized_base"].lower()
    if name not in kinds:
        raise RowRefused(f"quantized_base {name!r} is not modelled")
    return float(kinds[name]["double" if flag(cells, "double_quant") else "bytes"])
