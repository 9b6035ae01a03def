"""The catalogue: complete rows, honest sources, clear refusals."""

from datetime import date

import pytest

from farthing.catalog import accelerator, accelerators, preset, presets
from farthing.catalog.tables import _presets
from farthing.contract.shape import shape_from_config
from farthing.errors import InvalidSpec, UnknownAccelerator
from farthing.units import GIB


def test_has_the_29_gpus_and_the_cpu_slot():
    kinds = [row.kind for row in accelerators()]
    assert kinds.count("GPU") == 29
    assert [row.name for row in accelerators() if row.kind == "CPU"] == ["cpu-slot"]


def test_names_are_unique_and_fit_a_manifest():
    names = [row.name for row in accelerators()]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 64 and " " not in name for name in names)


@pytest.mark.parametrize("row", accelerators(), ids=lambda row: row.name)
def test_every_row_says_where_it_is_from(row):
    assert row.source
    assert date.fromisoformat(row.as_of) <= date(2026, 11, 24)


@pytest.mark.parametrize("row", [row for row in accelerators() if row.kind == "GPU"], ids=lambda row: row.name)
def test_every_gpu_has_memory_and_bandwidths(row):
    assert 14 * GIB < row.memory_bytes < 288 * GIB
    assert row.memory_bandwidth >= 300e9
    assert row.link_bandwidth >= 16e9


def test_peaks_are_dense_and_absent_where_the_device_has_none():
    assert accelerator("H100-80GB-SXM").peak_flops["bfloat16"] == 989e12
    assert accelerator("A100-80GB-SXM").peak_flops == {"float32": 19.5e12, "bfloat16": 312e12}
    assert "bfloat16" not in accelerator("T4").peak_flops
    assert "bfloat16" not in accelerator("V100-SXM2-16GB").peak_flops
    assert not accelerator("cpu-slot").peak_flops


def test_usable_memory_is_below_nominal():
    assert accelerator("H100-80GB-SXM").memory_bytes == int(79.1 * GIB)
    assert accelerator("T4").memory_bytes == int(14.56 * GIB)
    assert accelerator("cpu-slot").memory_bytes is None


def test_unknown_accelerator_names_the_known_ones():
    with pytest.raises(UnknownAccelerator, match=r"'H100'.*H100-80GB-SXM.*add a row"):
        accelerator("H100")


def test_unknown_preset_names_the_known_ones():
    with pytest.raises(InvalidSpec, match=r"spec\.model\.preset: 'gpt-2'.*llama-1m") as caught:
        preset("gpt-2")
    assert caught.value.reason == "UnknownPreset"


@pytest.mark.parametrize("name", presets())
def test_presets_have_the_parameters_they_state(name):
    assert shape_from_config(preset(name)).parameters == _presets()[name]["parameters"]


def test_presets_grow_and_have_sources():
    sizes = [shape_from_config(preset(name)).parameters for name in presets()]
    assert sizes == sorted(sizes)
    assert all(row["source"] and row["as_of"] for row in _presets().values())
    assert presets()[0] == "llama-1m"


def test_a_preset_is_the_callers_own_copy():
    preset("llama-3.1-8b")["rope_scaling"]["factor"] = 1
    assert preset("llama-3.1-8b")["rope_scaling"]["factor"] == 8.0
