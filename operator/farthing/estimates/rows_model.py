"""Model columns of a measured row from its dimensions."""

from itertools import product

from farthing.estimates.rows_cells import Cells, RowRefused, flag, given, positive

_LORA_MATRICES = ("q", "k", "v", "o", "gate", "up", "down")


def model_columns(cells: Cells) -> dict[str, float]:
    """The columns of `Configurations` that describe the model. Raises RowRefused where a dimension is missing."""
    hidden, layers, heads = (positive(cells, name) for name in ("hidden", "layers", "heads"))
    head_dim = positive(cells, "head_dim", hidden / heads)
    routed = given(cells, "n_experts") or 0.0
    columns = {
        "hidden": hidden,
        "layers": layers,
        "heads": heads,
        "query_width": heads * head_dim,
        "kv_width": positive(cells, "kv_heads", heads) * head_dim,
        "vocabulary": positive(cells, "vocab"),
        "experts_per_token": positive(cells, "experts_per_token", 1.0) if routed else 0.0,
    }
    columns["embedding_parameters"] = columns["vocabulary"] * hidden
    counted = given(cells, "n_params")
    gated, tied = _kind(cells, columns, counted)
    columns.update({"mlp_matrices": 3.0 if gated else 2.0, "tied": float(tied)}, **_mlp(cells, columns, gated=gated))
    columns["parameters"] = counted or _total(columns)
    return columns


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


def _kind(cells: Cells, columns: dict[str, float], counted: float | None) -> tuple[bool, bool]:
    """Gated and tied: as stated; else the pair whose parameter count is nearest to n_params."""
    stated = [cells.get(name, "").strip() for name in ("gated_mlp", "tied_embeddings")]
    choices = [
        [bool(flag(cells, name))] if text else [True, False]
        for name, text in zip(("gated_mlp", "tied_embeddings"), stated, strict=True)
    ]
    pairs = list(product(*choices))
    if len(pairs) > 1 and counted is None:
        raise RowRefused("gated_mlp or tied_embeddings, and n_params, are empty")

    def miss(pair: tuple[bool, ...]) -> float:
        gated, tied = pair
        kind = {"mlp_matrices": 3.0 if gated else 2.0, "tied": float(tied)}
        return abs(_total({**columns, **kind, **_mlp(cells, {**columns, **kind}, gated=gated)}) - (counted or 0.0))

    gated, tied = min(pairs, key=miss) if len(pairs) > 1 else pairs[0]
    return gated, tied


def _mlp(cells: Cells, columns: dict[str, float], *, gated: bool) -> dict[str, float]:
    """Widths and parameters of a layer, means over layers where some are dense and others hold experts."""
    hidden, layers, matrices = columns["hidden"], columns["layers"], 3.0 if gated else 2.0
    attention = 2 * hidden * (columns["query_width"] + columns["kv_width"])
    routed = given(cells, "n_experts") or 0.0
    if not routed:
        ffn = positive(cells, "ffn")
        layer = attention + matrices * hidden * ffn
        return {
            "active_ffn": ffn, "experts": 0.0, "expert_parameters": 0.0,
            "layer_parameters": layer + 2 * hidden, "layer_matmul_parameters": layer,
        }  # fmt: skip
    wide = given(cells, "moe_ffn") or positive(cells, "ffn")
    dense = given(cells, "n_dense_layers") or 0.0
    share, shared = 1 - dense / layers, given(cells, "n_shared_experts") or 0.0
    dense_width = positive(cells, "ffn", wide) if dense else 0.0
    active = share * wide * (columns["experts_per_token"] + shared) + (1 - share) * dense_width
    expert_parameters = share * matrices * hidden * wide * routed
    router = share * hidden * routed
    fixed = attention + router + matrices * hidden * (share * wide * shared + (1 - share) * dense_width)
    return {
        "active_ffn": active, "experts": share * routed, "expert_parameters": expert_parameters,
        "layer_parameters": fixed + expert_parameters + 2 * hidden,
        "layer_matmul_parameters": attention + router + matrices * hidden * active,
    }  # fmt: skip


def _total(columns: dict[str, float]) -> float:
    ends = columns["embedding_parameters"] * (1.0 if columns["tied"] else 2.0)
    return columns["layers"] * columns["layer_parameters"] + ends + columns["hidden"]
