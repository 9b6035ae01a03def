"""The model of a measured row, from its dimensions, and the adapters on it."""

from itertools import product
from typing import Any

from farthing.estimates.rows_cells import Cells, RowRefused, flag, given, positive
from farthing.models import Architecture, architecture_from_dims

_KINDS = ("gated_mlp", "tied_embeddings")
_LORA_MATRICES = ("q", "k", "v", "o", "gate", "up", "down")


def row_model(cells: Cells) -> Architecture:
    """The model of the row's dimensions. Raises RowRefused where one is missing, is no whole number, or contradicts another.

    Where the row does not say whether MLPs are gated or embeddings tied, the pair whose parameter count is nearest to n_params.
    """
    try:
        dims = _dims(cells)
        counted = given(cells, "n_params")
        kinds = [{"gated": gated, "tied": tied} for gated, tied in product(*(_choices(cells, name) for name in _KINDS))]
        if len(kinds) > 1 and counted is None:
            raise RowRefused("gated_mlp or tied_embeddings, and n_params, are empty")
        kind = min(kinds, key=lambda each: abs(architecture_from_dims(**dims, **each).parameters - (counted or 0)))
        return architecture_from_dims(**dims, **kind, n_params=int(counted) if counted else None)
    except ValueError as error:
        raise RowRefused(str(error)) from None


def adapter_parameters(cells: Cells, columns: dict[str, float]) -> float:
    """Of LoRA adapters on all layers: rank × (inputs + outputs) of each target; `trainable_params` where it is stated."""
    stated = given(cells, "trainable_params")
    if stated:
        return stated
    if cells["peft"] not in ("lora", "qlora", "dora", "qdora", "rslora"):
        raise RowRefused(f"peft {cells['peft']!r} without trainable_params")
    hidden, query, key, wide = columns["hidden"], columns["query_width"], columns["kv_width"], columns["active_ffn"]
    sums = dict(
        zip(_LORA_MATRICES, (hidden + query, hidden + key, hidden + key, hidden + query, *(hidden + wide,) * 3), strict=True)
    )
    sums["mlp"] = columns["mlp_matrices"] * (hidden + wide)
    sums["all"] = sum(sums[name] for name in "qkvo") + sums["mlp"]
    ends = {"head": hidden + columns["vocabulary"]}
    targets = cells["lora_targets"].replace("_proj", "").split("+")
    if unknown := [target for target in targets if target not in sums and target not in ends]:
        raise RowRefused(f"lora_targets {'+'.join(unknown)!r} is not modelled")
    per_rank = columns["layers"] * sum(sums.get(target, 0.0) for target in targets) + sum(
        ends.get(target, 0.0) for target in targets
    )
    return positive(cells, "lora_rank") * per_rank


def _choices(cells: Cells, name: str) -> list[bool]:
    return [bool(flag(cells, name))] if cells.get(name, "").strip() else [True, False]


def _dims(cells: Cells) -> dict[str, Any]:
    """Arguments of `architecture_from_dims` apart from kinds and count."""
    hidden, layers, heads = (positive(cells, name) for name in ("hidden", "layers", "heads"))
    dims = {
        "hidden": hidden, "layers": layers, "heads": heads, "vocab": positive(cells, "vocab"),
        "kv_heads": positive(cells, "kv_heads", heads), "head_dim": positive(cells, "head_dim", hidden // heads),
    }  # fmt: skip
    routed = given(cells, "n_experts")
    if not routed:
        return _whole({**dims, "ffn": positive(cells, "ffn")})
    wide = given(cells, "moe_ffn") or positive(cells, "ffn")
    dense = given(cells, "n_dense_layers") or 0.0
    return _whole({
        **dims, "ffn": positive(cells, "ffn", wide) if dense else 0.0, "moe_ffn": wide, "n_experts": routed,
        "experts_per_token": positive(cells, "experts_per_token", 1.0), "n_dense_layers": dense,
        "n_shared_experts": given(cells, "n_shared_experts") or 0.0,
    })  # fmt: skip


def _whole(dims: dict[str, float]) -> dict[str, int]:
    broken = [f"{name} {value:g}" for name, value in dims.items() if value != int(value)]
    if broken:
        raise RowRefused(f"{', '.join(broken)}: not a whole number")
    return {name: int(value) for name, value in dims.items()}
