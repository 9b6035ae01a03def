"""What the config of a model family leaves unsaid: its norms, biases and positions, as data.

Read from the modelling code of transformers 5; a test compares every family with what that builds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Mixture:
    """Where a config states its mixture of experts. Members are keys of the config."""

    routed: str
    ffn: str
    shared_ffn: str | None = None
    """Width of the shared expert, which then has a gate of its own (Qwen2-MoE)."""
    shared_count: str | None = None
    """Number of shared experts, each as wide as a routed one (DeepSeek)."""
    leading_dense: str | None = None
    """Number of dense layers before the first mixture."""
    every: str | None = None
    """A mixture in every k-th layer, the last of each group."""
    dense_list: str | None = None
    """Layers that are dense all the same."""


@dataclass(frozen=True, slots=True)
class Family:
    """One model type. A flag that is text is the name of the config's boolean that decides; `defaults` has its default."""

    gated: bool = True
    norms: int = 2
    """In a layer, each over the hidden width."""
    norm_vectors: int = 1
    """Vectors of a norm: 1 weight, or 2 with a bias."""
    outer_norms: int = 1
    qkv_bias: bool | str = False
    out_bias: bool | str = False
    mlp_bias: bool | str = False
    head_bias: bool = False
    qk_norm: bool | str = False
    """A norm each for queries and keys, over one head's width."""
    grouped: bool = True
    """The config has num_key_value_heads and head_dim; otherwise every head has keys of its own, hidden ÷ heads wide."""
    latent: bool = False
    """Multi-head latent attention (arXiv:2405.04434)."""
    positions: str | None = None
    """The config's number of learned positions."""
    extra_positions: int = 0
    ffn_multiple: int | None = None
    """Intermediate width ÷ hidden width where the config states none."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What this family's configs call a size; the common name holds too."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values of keys that published configs leave out, as in transformers' config class."""
    required: Mapping[str, Any] = field(default_factory=dict)
    """Keys that transformers can set otherwise, or ignores, and this module does not count."""
    mixture: Mixture | None = None


_UNTIED = {"tie_word_embeddings": False}
_TIED = {"tie_word_embeddings": True}
_BIASED = {**_UNTIED, "attention_bias": False}
_GPT: dict[str, Any] = {"gated": False, "norm_vectors": 2, "qkv_bias": True, "out_bias": True, "mlp_bias": True}
_GEMMA = {**_TIED, "attention_bias": False, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256}
_SPARSE: dict[str, Any] = {"every": "decoder_sparse_step", "dense_list": "mlp_only_layers"}
_DEEPSEEK = Mixture(
    routed="n_routed_experts",
    ffn="moe_intermediate_size",
    shared_count="n_shared_experts",
    leading_dense="first_k_dense_replace",
)
_MLA_DEFAULTS = {
    **_BIASED, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
}  # fmt: skip
_N_NAMES = {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "llama": Family(
            qkv_bias="attention_bias", out_bias="attention_bias", mlp_bias="mlp_bias", defaults={**_BIASED, "mlp_bias": False}
        ),
        "mistral": Family(defaults={**_UNTIED, "num_key_value_heads": 8}),
        "qwen2": Family(qkv_bias=True, defaults={**_UNTIED, "num_key_value_heads": 32}),
        "qwen3": Family(
            qkv_bias="attention_bias", out_bias="attention_bias", qk_norm=True,
            defaults={**_BIASED, "num_key_value_heads": 32, "head_dim": 128},
        ),
        "gemma2": Family(norms=4, qkv_bias="attention_bias", out_bias="attention_bias", defaults=_GEMMA),
        "gemma3_text": Family(
            norms=4, qkv_bias="attention_bias", out_bias="attention_bias", qk_norm=True,
            defaults={**_GEMMA, "vocab_size": 262_208},
        ),
        "phi3": Family(defaults=_UNTIED),
        "phi": Family(
            **_GPT, norms=1, head_bias=True, qk_norm="qk_layernorm", defaults={**_UNTIED, "qk_layernorm": False}
        ),
        "gpt2": Family(
            **_GPT, grouped=False, positions="n_positions", ffn_multiple=4,
            names={
                **_N_NAMES, "hidden_size": "n_embd", "intermediate_size": "n_inner", "n_positions": "max_position_embeddings"
            },
            defaults=_TIED, required={"add_cross_attention": False},
        ),
        "gpt_neox": Family(
            **{**_GPT, "qkv_bias": "attention_bias", "out_bias": "attention_bias"}, grouped=False,
            defaults={**_UNTIED, "attention_bias": True},
        ),
        "opt": Family(
            **{**_GPT, "qkv_bias": "enable_bias", "out_bias": "enable_bias", "mlp_bias": "enable_bias"}, grouped=False,
            positions="max_position_embeddings", extra_positions=2, names={"intermediate_size": "ffn_dim"},
            defaults={**_TIED, "enable_bias": True, "do_layer_norm_before": True, "_remove_final_layer_norm": False},
            required={"layer_norm_elementwise_affine": True},
        ),
        "bloom": Family(
            **_GPT, grouped=False, outer_norms=2, ffn_multiple=4, names={**_N_NAMES, "hidden_size": "n_embed"}, defaults=_TIED
        ),
        "mpt": Family(
            gated=False, grouped=False, ffn_multiple=4, defaults=_TIED, required={"expansion_ratio": 4, "no_bias": True},
            names={"hidden_size": "d_model", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads"},
        ),
        "mixtral": Family(
            mixture=Mixture(routed="num_local_experts", ffn="intermediate_size"), names={"num_local_experts": "num_experts"},
            defaults={**_UNTIED, "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2},
        ),
        "qwen2_moe": Family(
            qkv_bias="qkv_bias",
            mixture=Mixture("num_experts", "moe_intermediate_size", shared_ffn="shared_expert_intermediate_size", **_SPARSE),
            defaults={**_UNTIED, "num_key_value_heads": 16, "qkv_bias": True, "decoder_sparse_step": 1},
        ),
        "qwen3_moe": Family(
            qkv_bias="attention_bias", out_bias="attention_bias", qk_norm=True, names={"num_experts": "num_local_experts"},
            mixture=Mixture("num_experts", "moe_intermediate_size", **_SPARSE),
            defaults={**_BIASED, "num_key_value_heads": 4, "decoder_sparse_step": 1},
        ),
        "deepseek_v2": Family(
            latent=True, mixture=_DEEPSEEK, mlp_bias="mlp_bias",
            defaults={**_MLA_DEFAULTS, "mlp_bias": False, "first_k_dense_replace": 0, "n_shared_experts": 2},
        ),
        "deepseek_v3": Family(
            latent=True, mixture=_DEEPSEEK, defaults={**_MLA_DEFAULTS, "first_k_dense_replace": 3, "n_shared_experts": 1}
        ),
    }
)  # fmt: skip
"""By `model_type`."""
