"""Parameter counts of every preset and family against what transformers builds on the meta device."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from farthing.catalog import preset
from farthing.catalog.tables import all_presets
from farthing.models import architecture_from_config

pytestmark = pytest.mark.trainer

SMALL = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 96, "vocab_size": 100}
VARIANTS: dict[str, dict[str, Any]] = {
    "llama with biases": {"model_type": "llama", **SMALL, "attention_bias": True, "mlp_bias": True},
    "llama with wide heads": {"model_type": "llama", **SMALL, "head_dim": 32, "num_key_value_heads": 2},
    "mistral with defaults": {"model_type": "mistral", **SMALL, "num_attention_heads": 8},
    "mistral tied": {"model_type": "mistral", **SMALL, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen3 with biases": {"model_type": "qwen3", **SMALL, "num_key_value_heads": 2, "attention_bias": True},
    "gemma3 with defaults": {"model_type": "gemma3_text", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96},
    "gemma2 untied": {"model_type": "gemma2", **SMALL, "num_key_value_heads": 2, "tie_word_embeddings": False},
    "phi with query norms": {"model_type": "phi", **SMALL, "qk_layernorm": True},
    "gpt2 with n_inner": {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_inner": 96, "n_positions": 9},
    "gpt-neox without biases": {"model_type": "gpt_neox", **SMALL, "attention_bias": False},
    "opt without biases": {"model_type": "opt", **SMALL, "ffn_dim": 96, "enable_bias": False, "max_position_embeddings": 32},
    "opt untied": {"model_type": "opt", **SMALL, "ffn_dim": 96, "tie_word_embeddings": False, "max_position_embeddings": 32},
    "mixtral": {"model_type": "mixtral", **SMALL, "num_key_value_heads": 2},
    "qwen2-moe in every second layer": {
        "model_type": "qwen2_moe", **SMALL, "num_key_value_heads": 2, "num_experts": 6, "num_experts_per_tok": 2,
        "moe_intermediate_size": 32, "shared_expert_intermediate_size": 48, "decoder_sparse_step": 2, "mlp_only_layers": [3],
        "qkv_bias": False,
    },
    "qwen3-moe with dense layers": {
        "model_type": "qwen3_moe", **SMALL, "num_key_value_heads": 2, "num_experts": 6, "num_experts_per_tok": 2,
        "moe_intermediate_size": 32, "mlp_only_layers": [0, 2], "attention_bias": True,
    },
    "deepseek-v2 with biases": {
        "model_type": "deepseek_v2", **SMALL, "q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 4, "v_head_dim": 12, "n_routed_experts": 6, "num_experts_per_tok": 2, "n_shared_experts": 2,
        "moe_intermediate_size": 32, "first_k_dense_replace": 1, "attention_bias": True, "mlp_bias": True,
    },
    "deepseek-v3 without a query rank": {
        "model_type": "deepseek_v3", **SMALL, "q_lora_rank": None, "kv_lora_rank": 16, "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 4, "v_head_dim": 12, "n_routed_experts": 8, "n_group": 2, "topk_group": 1, "num_experts_per_tok": 2,
        "moe_intermediate_size": 32, "first_k_dense_replace": 2,
    },
}  # fmt: skip


def built(config: dict[str, Any]) -> int:
    """Parameters that transformers builds, tied ones once."""
    settings = dict(config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings))
    model.tie_weights()
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", all_presets())
def test_presets_have_the_parameters_that_transformers_builds(name):
    config = preset(name)
    assert architecture_from_config(config).parameters == built(config)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_option_counts_as_transformers_builds_it(name):
    config = VARIANTS[name]
    defaults = AutoConfig.for_model(config["model_type"])
    stated = {"vocab_size": defaults.vocab_size, **config}
    assert architecture_from_config(stated).parameters == built(config)
