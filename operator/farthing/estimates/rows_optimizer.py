"""What an optimizer keeps: bytes of states per trainable parameter, and what only its step holds."""

from collections.abc import Iterator, Mapping
from typing import Any

from farthing.catalog.frameworks import general
from farthing.estimates.rows_cells import Cells, RowRefused, flag, given

RANK = 0.25
"""Rank of projected gradients ÷ hidden width: 512 of 2048 and 1024 of 4096 (arXiv:2403.03507, tables 2 and 3)."""


def optimizer_columns(
    cells: Cells, sizes: Mapping[str, float], columns: Mapping[str, float], *, parameter: float, adapter: bool
) -> dict[str, float]:
    """States as stated, else by the optimizer's kind. `sizes`: the policy's bytes an element; `columns`: the model's.

    Raises RowRefused for an optimizer that is not modelled.
    """
    stated, kind = given(cells, "optimizer_state_bytes_per_param"), _kind(cells)
    if kind is None and stated is None:
        raise RowRefused(f"optimizer {cells['optimizer']!r} is not modelled")
    kind = kind or {"bytes": stated, "foreach": False}
    element = parameter if adapter else sizes["state"]
    states = kind["bytes"] if "bytes" in kind else kind["elements"] * element
    if "projector" in kind and not adapter:
        moments, projectors = projected_shares(columns)
        states = states * moments + (parameter * projectors if kind["projector"] else 0.0)
    foreach = kind["foreach"] and not flag(cells, "fused_optimizer") and not flag(cells, "optimizer_in_backward")
    transient = parameter if adapter else sizes["transient"]
    return {"state_bytes": states if stated is None else stated, "step_transient_bytes": transient if foreach else 0.0}


def paged(cells: Cells, columns: Mapping[str, float]) -> dict[str, float]:
    """States of a paged optimizer, which give way to the host as a whole where the device cannot hold all that stays on it."""
    if not (_kind(cells) or {}).get("paged", False):
        return {}
    ranks = columns["tp"] * columns["pp"] * columns["shard_degree"]
    base = columns["parameters"] * (columns["frozen_bytes"] if columns["has_adapter"] else columns["parameter_bytes"])
    resting = (base + columns["trainable"] * (columns["state_bytes"] + columns["master_bytes"])) / ranks
    return {"state_bytes": 0.0} if resting > columns["device_memory"] else {}


def projected_shares(columns: Mapping[str, float]) -> tuple[float, float]:
    """Elements of one moment, and of projectors, per parameter of a model whose blocks' gradients are projected to rank r.

    An m × n gradient, m ≤ n, becomes r × n under a projector of m × r; embeddings, head and norms keep whole moments.
    """
    rank, layers = RANK * columns["hidden"], columns["layers"]
    matrices = list(_block(columns))
    inside = sum(count * short * long for short, long, count in matrices)
    moments = sum(count * min(rank, short) * long for short, long, count in matrices)
    projectors = sum(count * short * min(rank, short) for short, _, count in matrices)
    total = columns["parameters"]
    return 1.0 - layers * (inside - moments) / total, layers * projectors / total


def _block(columns: Mapping[str, float]) -> Iterator[tuple[float, float, float]]:
    """Short side, long side and number of a layer's matrices; experts by their own width."""
    hidden, query, key, wide = columns["hidden"], columns["query_width"], columns["kv_width"], columns["active_ffn"]
    kinds = columns["mlp_matrices"]
    if columns["experts"]:
        own = columns["expert_parameters"] / (columns["experts"] * kinds * hidden)
        yield min(hidden, own), max(hidden, own), columns["experts"] * kinds
        wide = max(wide - columns["experts_per_token"] * own, 0.0)
    for width, count in ((query, 2.0), (key, 2.0), (wide, kinds)):
        yield min(hidden, width), max(hidden, width), count


def _kind(cells: Cells) -> Any:
    return general()["optimizers"].get(cells["optimizer"].lower())
