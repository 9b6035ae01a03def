"""Facts about accelerators that estimates need: the catalogue's rows by any label, with peaks of every dtype."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from farthing.units import GIB

_TERA = 1e12
_GIGA = 1e9
_VENDORS = "nvidia|tesla|geforce|quadro|amd|instinct"
_PEAKS = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "fp8": "float8"}


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator: bytes, bytes/s, and dense peaks in FLOP/s by dtype (`bf16`, `fp16`, `fp32`, `fp8`)."""

    name: str
    memory_bytes: float
    """What a process can use."""
    peak_flops: Mapping[str, float]
    memory_bandwidth: float
    link_bandwidth: float
    """One direction between devices of a node."""
    watts: float
    """Board power; NaN unknown."""

    def peak(self, dtype: str) -> float:
        """Peak of products in that dtype; in 16 bits of the other kind where this one is absent; 0 where there is none."""
        other = {"bf16": "fp16", "fp16": "bf16"}.get(dtype, dtype)
        return self.peak_flops.get(dtype) or self.peak_flops.get(other, 0.0)


def device(label: str) -> Device | None:
    """The row with that name or alias, or None. Case, blanks, `-`, `_` and the vendor's names in front do not matter."""
    return _devices().get(_key(label))


@cache
def _devices() -> Mapping[str, Device]:
    text = files("farthing.catalog").joinpath("accelerators.toml").read_text(encoding="utf-8")
    rows = [row for row in tomllib.loads(text)["accelerator"] if row["kind"] == "GPU"]
    found = {_key(label): _device(row) for row in rows for label in (*row.get("aliases", ()), row["name"])}
    return MappingProxyType(found)


def _device(row: Mapping[str, Any]) -> Device:
    return Device(
        name=row["name"],
        memory_bytes=row["memory_gib"] * GIB,
        peak_flops=MappingProxyType({dtype: row[column] * _TERA for dtype, column in _PEAKS.items() if column in row}),
        memory_bandwidth=row["bandwidth_gb_s"] * _GIGA,
        link_bandwidth=row["link_gb_s"] * _GIGA,
        watts=float(row.get("tdp_w", "nan")),
    )


def _key(label: str) -> str:
    return re.sub(rf"^({_VENDORS})+", "", re.sub(r"[\s_-]", "", label).lower())
