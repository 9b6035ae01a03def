"""A generic architecture from bare dimensions, as measured runs state them."""

from dataclasses import replace

from farthing.models.architecture import Architecture, Experts


def architecture_from_dims(
    *,
    hidden: int,
    layers: int,
    heads: int,
    ffn: int,
    vocab: int,
    tied: bool,
    gated: bool,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    n_params: int | None = None,
    n_experts: int = 0,
    experts_per_token: int = 0,
    moe_ffn: int | None = None,
    n_shared_experts: int = 0,
    n_dense_layers: int = 0,
) -> Architecture:
    """Two norms a layer and one at the end, no biases, rotary positions; arguments as the columns of measured rows name them.

    `ffn` is the width of dense layers, and of experts where `moe_ffn` is None. With `n_params` the model has exactly so many
    parameters: what the dimensions do not make (learned positions, biases) counts as outside the layers.
    Raises ValueError that names the dimension when one is below its least value or contradicts another.
    """
    _at_least_1(hidden=hidden, layers=layers, heads=heads, vocab=vocab)
    if not n_experts or n_dense_layers or moe_ffn is None:
        _at_least_1(ffn=ffn)
    mixture = None
    if n_experts:
        _at_least_1(experts_per_token=experts_per_token)
        if experts_per_token > n_experts or not 0 <= n_dense_layers < layers:
            raise ValueError(
                f"experts_per_token, n_dense_layers: {experts_per_token} of {n_experts}, {n_dense_layers} of {layers}"
            )
        wide = moe_ffn or ffn
        mixture = Experts(
            layers - n_dense_layers, n_experts, experts_per_token, wide, n_shared_experts * wide, hidden * n_experts
        )
    kv_heads, head_dim = kv_heads or heads, head_dim or hidden // heads
    generic = Architecture(
        family="generic",
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        key_dim=head_dim,
        value_dim=head_dim,
        vocabulary=vocab,
        embedding_width=hidden,
        tied=tied,
        ffn=ffn,
        mlp_matrices=3 if gated else 2,
        attention_parameters=2 * hidden * head_dim * (heads + kv_heads),
        vector_parameters=2 * hidden * layers,
        outer_parameters=hidden,
        mixture=mixture,
    )
    return generic if n_params is None else replace(generic, outer_parameters=hidden + n_params - generic.parameters)


def _at_least_1(**sizes: int) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name}: {value!r} must be at least 1")
