"""Architectures from configs and from dimensions: published parameter counts, consistent properties, the planner's columns."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.catalog import preset
from farthing.catalog.tables import _presets, all_presets, presets
from farthing.contract.shape import shape_from_config
from farthing.estimates.configuration import Configurations
from farthing.models import FAMILIES, Architecture, architecture_from_config, architecture_from_dims, model_columns
from farthing.models.architecture import MODEL_COLUMNS

ARCHITECTURES = {name: architecture_from_config(preset(name)) for name in all_presets()}

PUBLISHED = {
    "gpt2": 124_439_808,
    "llama-2-13b": 13_015_864_320,
    "llama-3.1-405b": 405_853_388_800,
    "mistral-7b": 7_241_732_096,
    "mixtral-8x7b": 46_702_792_704,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-8b": 8_190_735_360,
    "qwen3-30b-a3b": 30_532_122_624,
    "gemma-2-9b": 9_241_705_984,
    "gemma-3-1b": 999_885_952,
    "phi-3-mini": 3_821_079_552,
    "opt-350m": 331_196_416,
    "bloom-7b1": 7_069_016_064,
    "mpt-7b": 6_649_286_656,
    "pythia-12b": 11_846_072_320,
    "deepseek-v2-lite": 15_706_484_224,
}
"""What model cards and weight indices are quoted with; set down by hand, apart from the presets."""

ACTIVE = {"mixtral-8x7b": 12.9e9, "qwen3-30b-a3b": 3.3e9, "deepseek-v2": 21e9, "deepseek-v3": 37e9}
"""What papers state (arXiv 2401.04088, 2505.09388, 2405.04434, 2412.19437), rounded there."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name):
    assert ARCHITECTURES[name].parameters == PUBLISHED[name]


@pytest.mark.parametrize("name", all_presets())
def test_presets_have_the_parameters_they_state(name):
    assert ARCHITECTURES[name].parameters == _presets()[name]["parameters"]


@pytest.mark.parametrize("name", ACTIVE)
def test_active_parameters_are_those_of_the_papers(name):
    assert ARCHITECTURES[name].active_parameters == pytest.approx(ACTIVE[name], rel=0.02)


def test_presets_of_every_family_have_sources():
    assert {each.family for each in ARCHITECTURES.values()} == set(FAMILIES)
    assert all(row["source"] and row["as_of"] for row in _presets().values())
    sizes = [each.parameters for each in ARCHITECTURES.values()]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("name", presets())
def test_the_trainers_shape_agrees(name):
    shape, architecture = shape_from_config(preset(name)), ARCHITECTURES[name]
    for each in (
        "hidden", "layers", "heads", "kv_heads", "head_dim", "ffn", "vocabulary", "query_width", "kv_width", "parameters",
        "layer_parameters", "layer_matmul_parameters", "embedding_parameters",
    ):  # fmt: skip
        assert getattr(shape, each) == getattr(architecture, each), each
    assert shape.tied_embeddings == architecture.tied


@pytest.mark.parametrize("name", all_presets())
def test_the_parts_make_the_whole(name):
    each = ARCHITECTURES[name]
    ends = each.embedding_parameters * (2 - each.tied) + each.position_parameters + each.outer_parameters
    assert each.layers * each.layer_parameters + ends == pytest.approx(each.parameters, rel=1e-12)
    assert each.active_parameters <= each.parameters
    assert (each.active_parameters < each.parameters) == (each.mixture is not None) == (each.experts > 0)
    assert each.layer_matmul_parameters <= each.layer_parameters
    skipped = each.expert_parameters * (1 - each.experts_per_token / each.mixture.routed) if each.mixture else 0.0
    assert each.layers * (each.layer_matmul_parameters + skipped) == pytest.approx(each.linear_parameters, rel=1e-12)
    gates = each.mixture.layers * each.mixture.gate_parameters / each.layers if each.mixture else 0
    mlp = each.mlp_matrices * each.hidden * each.active_ffn
    assert each.layer_matmul_parameters == pytest.approx(each.attention_parameters + mlp + gates, rel=1e-12)


def test_columns_are_exactly_the_model_columns_of_the_estimates():
    names = [each.name for each in fields(Configurations)]
    assert list(MODEL_COLUMNS) == sorted(MODEL_COLUMNS, key=names.index)
    assert set(MODEL_COLUMNS) == set(names[: names.index("device_memory")])
    columns = model_columns(ARCHITECTURES["deepseek-v3"])
    assert tuple(columns) == MODEL_COLUMNS
    assert all(type(value) is float for value in columns.values())


def test_latent_attention_is_as_wide_as_the_heads_it_expands_to():
    each = ARCHITECTURES["deepseek-v3"]
    assert each.query_width == each.kv_width == 128 * (192 + 128) / 2
    assert (each.dense_layers, each.experts, each.experts_per_token) == (3, 256 * 58 / 61, 8)
    assert each.active_ffn == (3 * 18432 + 58 * 9 * 2048) / 61


def test_layers_without_experts_are_left_out_of_the_mixture():
    config = preset("qwen3-30b-a3b") | {"decoder_sparse_step": 2, "mlp_only_layers": [1, 2]}
    assert architecture_from_config(config).mixture.layers == 23
    assert architecture_from_config(preset("qwen3-30b-a3b") | {"num_experts": 0}).mixture is None


def test_null_keys_mean_what_transformers_means():
    config = preset("mistral-7b")
    assert architecture_from_config(config | {"head_dim": None, "num_key_value_heads": None}).kv_heads == 32
    del config["num_key_value_heads"]
    assert architecture_from_config(config).kv_heads == 8


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("gpt2", {"model_type": "mamba"}, "model_type: 'mamba'"),
        ("gpt2", {"model_type": "gemma3", "text_config": {}}, "give the text_config"),
        ("gpt2", {"model_type": None}, "model_type: None"),
        ("gpt2", {"n_embd": "big"}, "n_embd: 'big'"),
        ("gpt2", {"n_layer": 0}, "n_layer: 0"),
        ("gpt2", {"n_head": True}, "n_head: True"),
        ("gpt2", {"n_head": 1000}, "num_attention_heads: 1000"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention: True"),
        ("mpt-7b", {"expansion_ratio": 2}, "expansion_ratio: 2"),
        ("llama-3.1-8b", {"intermediate_size": None}, "intermediate_size: None"),
        ("llama-3.1-8b", {"tie_word_embeddings": "no"}, "tie_word_embeddings: 'no'"),
        ("mixtral-8x7b", {"num_experts_per_tok": 9}, "num_experts_per_tok: 9"),
        ("qwen3-30b-a3b", {"mlp_only_layers": ["one"]}, "mlp_only_layers"),
        ("deepseek-v3", {"v_head_dim": 1.5}, "v_head_dim: 1.5"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named(name, change, said):
    with pytest.raises(ValueError, match=said):
        architecture_from_config(preset(name) | change)


@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"])
def test_a_missing_key_is_named(key):
    config = preset("qwen3-8b")
    del config[key]
    with pytest.raises(ValueError, match=f"^{key}: None"):
        architecture_from_config(config)


def dims(of: Architecture) -> Architecture:
    mixture = of.mixture
    return architecture_from_dims(
        hidden=of.hidden, layers=of.layers, heads=of.heads, kv_heads=of.kv_heads, head_dim=of.head_dim, ffn=of.ffn,
        vocab=of.vocabulary, tied=of.tied, gated=of.mlp_matrices == 3, n_params=of.parameters,
        n_experts=mixture.routed if mixture else 0, experts_per_token=of.experts_per_token,
        moe_ffn=mixture.ffn if mixture else None, n_shared_experts=mixture.shared_ffn // mixture.ffn if mixture else 0,
        n_dense_layers=of.dense_layers if mixture else 0,
    )  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [name for name, each in ARCHITECTURES.items() if each.key_dim == each.value_dim and each.embedding_width == each.hidden],
)
def test_dimensions_alone_come_within_half_a_percent(name):
    exact, generic = ARCHITECTURES[name], dims(ARCHITECTURES[name])
    assert generic.parameters == exact.parameters
    for column, value in model_columns(exact).items():
        assert model_columns(generic)[column] == pytest.approx(value, rel=0.005), column


@pytest.mark.parametrize("name", ["llama-3.1-8b", "llama-1m", "mixtral-8x7b", "phi-4"])
def test_dimensions_of_plain_models_are_enough(name):
    generic = dims(ARCHITECTURES[name])
    assert model_columns(generic) == model_columns(ARCHITECTURES[name])
    assert generic.outer_parameters == generic.hidden


@given(st.integers(1, 64), st.integers(1, 8), st.integers(1, 16), st.integers(1, 500), st.booleans(), st.booleans())
def test_dimensions_without_a_count_make_one(head_dim, layers, heads, ffn, tied, gated):
    each = architecture_from_dims(
        hidden=head_dim * heads, layers=layers, heads=heads, ffn=ffn, vocab=1000, tied=tied, gated=gated
    )
    hidden = head_dim * heads
    layer = 4 * hidden**2 + (2 + gated) * hidden * ffn
    assert each.layer_matmul_parameters == layer
    assert each.parameters == layers * (layer + 2 * hidden) + hidden + 1000 * hidden * (2 - tied)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layers": 0}, "layers: 0"), ({"ffn": 0}, "ffn: 0"), ({"n_experts": 8}, "experts_per_token: 0"),
        ({"n_experts": 8, "experts_per_token": 9}, "experts_per_token"),
        ({"n_experts": 8, "experts_per_token": 2, "n_dense_layers": 2}, "n_dense_layers"),
    ],
)  # fmt: skip
def test_a_wrong_dimension_is_named(change, said):
    plain = {"hidden": 64, "layers": 2, "heads": 4, "ffn": 128, "vocab": 100, "tied": True, "gated": True}
    with pytest.raises(ValueError, match=said):
        architecture_from_dims(**plain | change)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "mixtral-8x7b", "gpt2"])
def test_a_strangers_number_of_layers_takes_no_time(name):
    key = "n_layer" if name == "gpt2" else "num_hidden_layers"
    with pytest.raises(ValueError, match=f"{key}: 1000000000000 must be a whole number of at most"):
        architecture_from_config(preset(name) | {key: 10**12})


ODD = st.sampled_from([None, 0, 1, -1, 2.5, "x", True, False, [], {}, [1, 2], 7, 10**6])


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(all_presets()), st.data())
def test_any_config_is_counted_or_refused(name, data):
    config = preset(name)
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(config)), ODD, max_size=3))
    try:
        found = architecture_from_config(config | changes)
    except ValueError:
        return
    assert found.parameters > 0
    assert all(np.isfinite(value) for value in model_columns(found).values())
