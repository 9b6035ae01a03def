"""The model of a measured row, from its dimensions, and the adapters on it."""

from itertools import product
from typing import Any

from farthing.estimates.rows_cells import Cells, RowRefused, flag, given, positive
from farthing.models import Architecture, architecture_from_dims

Matrix = tuple[float, float]
"""Inputs and outputs of one product."""
_KINDS = ("gated_mlp", "tied_embeddings")
_BLOCK = ("q", "k", "v", "o")
_ADAPTERS = ("lora", "qlora", "dora", "qdora", "rslora")
_DECOMPOSED = ("dora", "qdora")


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
    """Of LoRA adapters on all layers: rank × (inputs + outputs) of each target, and under DoRA a magnitude for each output.

    `trainable_params` where it is stated.
    """
    stated = given(cells, "trainable_params")
    if stated:
        return stated
    if cells["peft"] not in _ADAPTERS:
        raise RowRefused(f"peft {cells['peft']!r} without trainable_params")
    adapted, head = _adapted(cells, columns)
    rank, magnitudes = positive(cells, "lora_rank"), float(cells["peft"] in _DECOMPOSED)
    a_layer, ends = (
        sum(rank * (inputs + outputs) + magnitudes * outputs for inputs, outputs in matrices) for matrices in (adapted, head)
    )
    return float(columns["layers"] * a_layer + ends)


def decomposed(cells: Cells, columns: dict[str, float]) -> dict[str, float]:
    """What weight-decomposed adapters (DoRA) lie over in one layer; nothing for other kinds."""
    adapted = _adapted(cells, columns)[0] if cells["peft"] in _DECOMPOSED else []
    return {
        "decomposed_width": float(sum(outputs for _, outputs in adapted)),
        "decomposed_parameters": float(sum(inputs * outputs for inputs, outputs in adapted)),
    }


def _adapted(cells: Cells, columns: dict[str, float]) -> tuple[list[Matrix], list[Matrix]]:
    """The matrices under adapters: those of one layer, and those at the ends of the model."""
    hidden, query, key, wide = columns["hidden"], columns["query_width"], columns["kv_width"], columns["active_ffn"]
    known = {"q": [(hidden, query)], "k": [(hidden, key)], "v": [(hidden, key)], "o": [(query, hidden)]}
    known |= {"gate": [(hidden, wide)], "up": [(hidden, wide)], "down": [(wide, hidden)]}
    known["mlp"] = [(hidden, wide)] * (int(columns["mlp_matrices"]) - 1) + known["down"]
    known["all"] = [matrix for name in (*_BLOCK, "mlp") for matrix in known[name]]
    ends = {"head": [(hidden, columns["vocabulary"])]}
    targets = cells["lora_targets"].replace("_proj", "").split("+")
    if unknown := [target for target in targets if target not in known and target not in ends]:
        raise RowRefused(f"lora_targets {'+'.join(unknown)!r} is not modelled")
    a_layer, outside = ([matrix for target in targets for matrix in table.get(target, [])] for table in (known, ends))
    return a_layer, outside


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
