"""The catalogue's tables, read once from the TOML files packaged beside this module."""

import copy
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from farthing.contract.shape import SUPPORTED_MODEL_TYPES
from farthing.domain.planning import AcceleratorSpec
from farthing.errors import InvalidSpec, UnknownAccelerator
from farthing.units import GIB

_PRECISIONS = ("float32", "bfloat16")
_TERA = 1e12
_GIGA = 1e9


def accelerator(name: str) -> AcceleratorSpec:
    """The row of that name. Raises UnknownAccelerator that lists the known ones."""
    known = _accelerators()
    if name not in known:
        raise UnknownAccelerator(
            f"spec.accelerator: {name!r} is not in the catalogue: use one of {', '.join(sorted(known))}, "
            "or add a row with its source to accelerators.toml"
        )
    return known[name]


def accelerators() -> tuple[AcceleratorSpec, ...]:
    """Every row, in the order of the file."""
    return tuple(_accelerators().values())


def preset(name: str) -> dict[str, Any]:
    """A Hugging Face config, the caller's own copy; `all_presets` has the names. Raises InvalidSpec (reason UnknownPreset)."""
    known = _presets()
    if name not in known:
        remedy = f"use one of {', '.join(presets())}, or write the model's config.json into spec.model.config"
        raise InvalidSpec("spec.model.preset", name, remedy, reason="UnknownPreset")
    return copy.deepcopy(known[name]["config"])


def presets() -> tuple[str, ...]:
    """The names of those that the trainer builds, which are of the Llama type; smallest model first."""
    return tuple(name for name, row in _presets().items() if row["config"]["model_type"] in SUPPORTED_MODEL_TYPES)


def all_presets() -> tuple[str, ...]:
    """The names of all presets, of every model type, smallest model first."""
    return tuple(_presets())


@cache
def _accelerators() -> Mapping[str, AcceleratorSpec]:
    return MappingProxyType({row["name"]: _accelerator(row) for row in _table("accelerators")["accelerator"]})


def _accelerator(row: Mapping[str, Any]) -> AcceleratorSpec:
    return AcceleratorSpec(
        name=row["name"],
        kind=row["kind"],
        memory_bytes=int(row["memory_gib"] * GIB) if "memory_gib" in row else None,
        peak_flops=MappingProxyType({key: row[key] * _TERA for key in _PRECISIONS if key in row}),
        memory_bandwidth=row["bandwidth_gb_s"] * _GIGA if "bandwidth_gb_s" in row else None,
        link_bandwidth=row["link_gb_s"] * _GIGA if "link_gb_s" in row else None,
        source=row["source"],
        as_of=row["as_of"],
    )


@cache
def _presets() -> Mapping[str, dict[str, Any]]:
    rows = sorted(_table("presets")["preset"], key=lambda row: int(row["parameters"]))
    return {row["name"]: {**row, "config": _config(row["config"], row.get("nulls", ()))} for row in rows}


def _config(settings: Mapping[str, Any], nulls: Iterable[str]) -> dict[str, Any]:
    """The settings, keys that are null, and what every Llama config says beside its sizes where no other type is named."""
    settings = {**settings, **dict.fromkeys(nulls)}
    if "model_type" in settings:
        return settings
    return {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", **settings}


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(files("farthing.catalog").joinpath(f"{name}.toml").read_text(encoding="utf-8"))
