"""Measured runs in the schema of the ground truth → `Configurations` beside what was measured of them.

Reads the text of a CSV file whose header names the schema's columns; columns that are absent count as empty. A row is refused,
with its reason, where it lacks something that no assumption replaces or has a value that is not modelled: never a crash.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from farthing.estimates.configuration import Configurations, Floats, configurations
from farthing.estimates.results import MemoryBreakdown
from farthing.estimates.rows_cells import Cells, RowRefused, given
from farthing.estimates.rows_columns import row_columns
from farthing.units import GIB

Texts = npt.NDArray[np.str_]

READY = ("strict", "defaults")
ALLOCATED = ("allocated", "active", "unknown")
"""Metrics that a tensor-memory prediction is compared with; an unknown one is taken for allocated."""
STRATEGY = (
    "shard",
    "tp",
    "pp",
    "cp",
    "ep",
    "ac",
    "attention",
    "loss_impl",
    "compile",
    "peft",
    "quantized_base",
    "lowp_recipe",
    "data_mode",
)
"""Columns of a row's strategy; batch and number of replicas are not of it."""

_METRICS = ("allocated", "reserved", "nvidia_smi")


@dataclass(frozen=True, slots=True)
class MeasuredRows:
    """The accepted rows of a file, one element each, in the file's order; and the refused ones.

    Memory in bytes, times in seconds; NaN where the source says nothing; text is "" there.
    """

    ids: Texts
    positions: npt.NDArray[np.int64]
    """Index of the row in the file, refused ones counted."""
    groups: Texts
    """`source_group`."""
    frameworks: Texts
    configurations: Configurations
    status: Texts
    """`ok`, `oom` or `oom_presumed`."""
    metric: Texts
    """What `peak` is: allocated, active, reserved, nvidia_smi or unknown."""
    peak: Floats
    allocated: Floats
    reserved: Floats
    nvidia_smi: Floats
    context: Floats
    tokens_per_s_per_gpu: Floats
    step_seconds: Floats
    sweeps: Texts
    """`sweep_id`, "" outside of sweeps."""
    sweep_vary: Texts
    mem_ready: npt.NDArray[np.bool_]
    """The schema's `strict` or `defaults`."""
    time_ready: npt.NDArray[np.bool_]
    accelerators: Texts
    """Name in the catalogue, or the row's own label."""
    families: Texts
    """Model family: the name up to its size."""
    strategies: Texts
    """Words that tell two strategies apart (`STRATEGY`)."""
    flags: Texts
    """Cautions of the source, joined by `;`."""
    refused: Mapping[str, str]
    """row_id → why neither memory nor time can be predicted."""
    order: tuple[str, ...]
    """row_id of every row of the file, refused ones included."""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, chosen: npt.NDArray[Any]) -> "MeasuredRows":
        """Those at the given positions, or where the mask is true; `refused` stays."""
        kept = {each.name: getattr(self, each.name) for each in fields(self)}
        changed = {name: value[chosen] for name, value in kept.items() if isinstance(value, np.ndarray)}
        return MeasuredRows(**{**kept, **changed, "configurations": self.configurations.take(chosen)})

    @property
    def ok(self) -> npt.NDArray[np.bool_]:
        """The run ended with a measurement."""
        return np.asarray(self.status == "ok", dtype=np.bool_)

    @property
    def out_of_memory(self) -> npt.NDArray[np.bool_]:
        """The source says so, or it is presumed."""
        return np.asarray(np.char.startswith(self.status, "oom"), dtype=np.bool_)

    @property
    def for_memory(self) -> npt.NDArray[np.bool_]:
        """Rows whose peak a memory model is scored on."""
        return self.mem_ready & self.ok & np.isfinite(self.peak)

    @property
    def for_time(self) -> npt.NDArray[np.bool_]:
        """Rows whose throughput a time model is scored on; a device without known peaks has none."""
        known = np.isfinite(self.configurations.peak_flops) & (self.configurations.peak_flops > 0)
        return self.time_ready & self.ok & np.isfinite(self.tokens_per_s_per_gpu) & known

    @property
    def reserved_metric(self) -> npt.NDArray[np.bool_]:
        """`peak` is what the caching allocator holds."""
        return np.asarray(self.metric == "reserved", dtype=np.bool_)

    def predicted_peak(self, breakdown: MemoryBreakdown) -> Floats:
        """Bytes on each row's own metric: reserved, what the driver reports (reserved + context), or allocated."""
        choices = [self.metric == "reserved", self.metric == "nvidia_smi"]
        return np.asarray(np.select(choices, [breakdown.reserved, breakdown.used], breakdown.allocated), dtype=np.float64)

    @property
    def folds(self) -> npt.NDArray[np.int64]:
        """Fold of each row for leave-one-source-out: groups that run one framework's code are left out together."""
        folds = np.unique(self.groups, return_inverse=True)[1].astype(np.int64)
        for name in np.unique(self.frameworks[self.frameworks != ""]):
            together = np.unique(folds[self.frameworks == name])
            folds[np.isin(folds, together)] = together.min()
        return np.unique(folds, return_inverse=True)[1].astype(np.int64)


def read_rows(text: str) -> MeasuredRows:
    """The rows of a CSV file of the ground truth's schema. Never raises for a row; ValueError for a text without `row_id`."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    if "row_id" not in (reader.fieldnames or ()):
        raise ValueError("no column row_id: not a file of the ground truth's schema")
    columns: list[dict[str, float]] = []
    facts: list[dict[str, Any]] = []
    refused: dict[str, str] = {}
    order: list[str] = []
    for raw in reader:
        cells = {
            name: (value or "").strip() for name, value in raw.items() if isinstance(name, str) and not isinstance(value, list)
        }
        try:
            of_row, filled = row_columns(cells)
            facts.append({**_facts(cells, filled), "positions": len(order)})
            columns.append(of_row)
        except RowRefused as error:
            refused[cells["row_id"]] = str(error)
        order.append(cells["row_id"])
    return _gathered(columns, facts, refused, tuple(order))


def _gathered(
    columns: list[dict[str, float]], facts: list[dict[str, Any]], refused: dict[str, str], order: tuple[str, ...]
) -> MeasuredRows:
    names = [each.name for each in fields(Configurations)]
    stacked = configurations({name: np.array([row[name] for row in columns], dtype=np.float64) for name in names})
    kinds = {name: type(value) for name, value in {**_facts({"row_id": ""}, {}), "positions": 0}.items()}
    dtypes: dict[type, Any] = {str: np.str_, float: np.float64, bool: np.bool_, int: np.int64}
    arrays = {name: np.array([row[name] for row in facts], dtype=dtypes[kind]) for name, kind in kinds.items()}
    return MeasuredRows(configurations=stacked, refused=refused, order=order, **arrays)


def _facts(cells: Cells, filled: Cells) -> dict[str, Any]:
    """What a row says beside its configuration."""
    gib = {metric: _measured(cells, f"peak_{metric}_gib") * GIB for metric in _METRICS}
    return {
        "ids": cells["row_id"],
        "groups": cells.get("source_group", ""),
        "frameworks": cells.get("framework", ""),
        "status": cells.get("status", "") or "ok",
        "metric": filled.get("memory_metric", "") or "unknown",
        "peak": _measured(cells, "peak_mem_gib") * GIB,
        **gib,
        "context": _measured(cells, "cuda_context_gib") * GIB,
        "tokens_per_s_per_gpu": _measured(cells, "tokens_per_s_per_gpu"),
        "step_seconds": _measured(cells, "step_time_s"),
        "sweeps": cells.get("sweep_id", ""),
        "sweep_vary": cells.get("sweep_vary", ""),
        "mem_ready": cells.get("mem_ready", "") in READY,
        "time_ready": cells.get("time_ready", "") in READY,
        "accelerators": filled.get("accelerator", ""),
        "families": _family(cells.get("model", "")),
        "strategies": "/".join(filled.get(column, "") or "-" for column in STRATEGY),
        "flags": cells.get("flags", ""),
    }


def _measured(cells: Cells, column: str) -> float:
    """The cell's number; NaN where it is empty."""
    value = given(cells, column)
    return float("nan") if value is None else value


def _family(model: str) -> str:
    """`meta-llama/Meta-Llama-3-8B` → `llama`: the last part of the name up to its first number."""
    name = model.rsplit("/", 1)[-1].lower().removeprefix("meta-")
    match = re.match(r"[a-z]+(?:[_-][a-z]{2,})*", name)
    return match.group() if match else name
