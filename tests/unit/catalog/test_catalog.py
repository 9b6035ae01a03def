"""The catalogue: complete rows, honest sources, clear refusals."""

import tomllib
from datetime import UTC, date, datetime
from importlib.resources import files

import pytest

from farthing.catalog import accelerator, accelerators, preset, presets
from farthing.catalog.devices import device
from farthing.catalog.tables import _presets
from farthing.contract.shape import shape_from_config
from farthing.errors import InvalidSpec, UnknownAccelerator
from farthing.units import GIB


def test_has_the_37_gpus_and_the_cpu_slot():
    kinds = [row.kind for row in accelerators()]
    assert kinds.count("GPU") == 37
    assert [row.name for row in accelerators() if row.kind == "CPU"] == ["cpu-slot"]


def test_names_are_unique_and_fit_a_manifest():
    names = [row.name for row in accelerators()]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 64 and " " not in name for name in names)


@pytest.mark.parametrize("row", accelerators(), ids=lambda row: row.name)
def test_every_row_says_where_it_is_from(row):
    assert row.source
    assert date.fromisoformat(row.as_of) <= datetime.now(UTC).date()


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


@pytest.mark.parametrize(
    ("reported", "name"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100-80GB-SXM"), ("NVIDIA A100 80GB PCIe", "A100-80GB-PCIe"),
        ("NVIDIA H100 80GB HBM3", "H100-80GB-SXM"), ("NVIDIA H100 PCIe", "H100-80GB-PCIe"),
        ("NVIDIA H100 NVL", "H100-94GB-NVL"),
        ("NVIDIA H200", "H200-141GB-SXM"), ("Tesla T4", "T4"), ("Tesla V100-SXM2-16GB", "V100-SXM2-16GB"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"), ("NVIDIA RTX 6000 Ada Generation", "RTX6000-Ada"), ("NVIDIA L40S", "L40S"),
        ("AMD Instinct MI300X", "MI300X"), ("nvidia_h20", "H20-96GB-SXM"),
    ],
)  # fmt: skip
def test_devices_are_known_by_what_their_driver_calls_them(reported, name):
    found = device(reported)
    assert found is not None
    assert found.name == name


def test_no_label_means_two_devices():
    text = files("farthing.catalog").joinpath("accelerators.toml").read_text(encoding="utf-8")
    rows = [row for row in tomllib.loads(text)["accelerator"] if row["kind"] == "GPU"]
    for row in rows:
        for label in (row["name"], *row.get("aliases", ())):
            assert device(label).name == row["name"], label
