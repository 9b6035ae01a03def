"""Architectures from Hugging Face configs: one reading for all families, the differences being data in `families`."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from farthing.models.architecture import Architecture, Experts
from farthing.models.families import FAMILIES, Family, Mixture
from farthing.models.keys import Keys

MOST_LAYERS = 100_000
"""Two orders above any published model: a config is a stranger's text, and layers are looked at one by one."""


class _Attention(NamedTuple):
    """Of one layer: heads, widths, parameters of matrices and of biases and norms."""

    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    matrices: int
    vectors: int


def architecture_from_config(config: Mapping[str, Any]) -> Architecture:
    """The architecture that a `config.json` describes; its parameters are those of transformers' causal language model.

    Prediction heads for further tokens (DeepSeek-V3's MTP layer) and buffers are not parameters there and are not counted. Keys
    that are absent take the defaults of the family's config class where published configs leave them out.
    Raises ValueError that names the key when one is missing, of a wrong kind, or of a value that is not counted here.
    """
    name = config.get("model_type")
    if not isinstance(name, str) or name not in FAMILIES:
        hint = " (of a multimodal config give the text_config)" if "text_config" in config else ""
        raise ValueError(f"model_type: {name!r} is not supported; use one of {', '.join(FAMILIES)}{hint}")
    family = FAMILIES[name]
    keys = Keys(config, family)
    keys.check_required()
    hidden, vocabulary = keys.size("hidden_size"), keys.size("vocab_size")
    layers = keys.size("num_hidden_layers", most=MOST_LAYERS)
    attention = _latent(keys, hidden) if family.latent else _attention(keys, family, hidden)
    mixture = _mixture(keys, family.mixture, hidden, layers) if family.mixture else None
    dense = layers - (mixture.layers if mixture else 0)
    ffn = keys.size("intermediate_size", hidden * family.ffn_multiple if family.ffn_multiple else None) if dense else 0
    embedding = keys.size("word_embed_proj_dim", hidden) if name == "opt" else hidden
    positions = keys.size(family.positions) + family.extra_positions if family.positions else 0
    norms = family.norms * family.norm_vectors * hidden
    return Architecture(
        family=name,
        hidden=hidden,
        layers=layers,
        heads=attention.heads,
        kv_heads=attention.kv_heads,
        key_dim=attention.key_dim,
        value_dim=attention.value_dim,
        vocabulary=vocabulary,
        embedding_width=embedding,
        tied=keys.flag("tie_word_embeddings"),
        ffn=ffn,
        mlp_matrices=3 if family.gated else 2,
        attention_parameters=attention.matrices,
        vector_parameters=layers * (norms + attention.vectors) + _mlp_biases(keys, family, hidden, dense, ffn, mixture),
        position_parameters=positions * hidden,
        outer_parameters=_outer(keys, family, name, hidden, embedding, vocabulary),
        mixture=mixture,
    )


def _attention(keys: Keys, family: Family, hidden: int) -> _Attention:
    """Multi-head attention, keys and values in groups where the family has them."""
    heads = keys.size("num_attention_heads")
    if heads > hidden:
        raise ValueError(f"num_attention_heads: {heads} exceed the hidden size, {hidden}")
    kv_heads, dim = heads, hidden // heads
    if family.grouped:
        kv_heads, dim = keys.size("num_key_value_heads", heads), keys.size("head_dim", dim)
    query, kv = heads * dim, kv_heads * dim
    vectors = (query + 2 * kv) * keys.flag(family.qkv_bias) + hidden * keys.flag(family.out_bias)
    vectors += 2 * family.norm_vectors * dim * keys.flag(family.qk_norm)
    return _Attention(heads, kv_heads, dim, dim, 2 * hidden * (query + kv), vectors)


def _latent(keys: Keys, hidden: int) -> _Attention:
    """Multi-head latent attention: keys and values, and mostly queries, through a low rank; arXiv:2405.04434, 2.1."""
    heads, rank, kv_rank = keys.size("num_attention_heads"), keys.optional_size("q_lora_rank"), keys.size("kv_lora_rank")
    plain, rotary, value = (keys.size(key) for key in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
    query = heads * (plain + rotary)
    matrices = hidden * query if rank is None else rank * (hidden + query)
    matrices += hidden * (kv_rank + rotary) + kv_rank * heads * (plain + value) + heads * value * hidden
    vectors = (rank or 0) + kv_rank
    if keys.flag("attention_bias"):
        vectors += (rank or 0) + kv_rank + rotary + hidden
    return _Attention(heads, heads, plain + rotary, value, matrices, vectors)


def _mixture(keys: Keys, stated: Mixture, hidden: int, layers: int) -> Experts | None:
    """The mixture of experts; None where every layer is dense."""
    routed, width = keys.size(stated.routed, least=0), keys.size(stated.ffn)
    leading = keys.size(stated.leading_dense, least=0) if stated.leading_dense else 0
    every = keys.size(stated.every) if stated.every else 1
    dense = keys.layers(stated.dense_list) if stated.dense_list else frozenset()
    sparse = sum((layer + 1) % every == 0 and layer not in dense for layer in range(leading, layers))
    if not routed or not sparse:
        return None
    shared, gates = 0, hidden * routed
    if stated.shared_ffn:
        shared, gates = keys.size(stated.shared_ffn), gates + hidden
    if stated.shared_count:
        shared = width * keys.size(stated.shared_count, least=0)
    per_token = keys.size("num_experts_per_tok")
    if per_token > routed:
        raise ValueError(f"num_experts_per_tok: {per_token} exceed the {routed} experts")
    return Experts(sparse, routed, per_token, width, shared, gates)


def _mlp_biases(keys: Keys, family: Family, hidden: int, dense: int, ffn: int, mixture: Experts | None) -> int:
    """Of all layers, shared experts included; routed experts have none in any family."""
    if not keys.flag(family.mlp_bias):
        return 0
    inner = 2 if family.gated else 1
    shared = mixture.layers * (inner * mixture.shared_ffn + hidden) if mixture else 0
    return dense * (inner * ffn + hidden) + shared


def _outer(keys: Keys, family: Family, name: str, hidden: int, embedding: int, vocabulary: int) -> int:
    """Norms outside the layers, the head's bias, OPT's projections between embedding and hidden width."""
    norms = family.outer_norms
    if name == "opt" and (not keys.flag("do_layer_norm_before") or keys.flag("_remove_final_layer_norm")):
        norms = 0
    projections = 2 * hidden * embedding if embedding != hidden else 0
    return norms * family.norm_vectors * hidden + projections + (vocabulary if family.head_bias else 0)
