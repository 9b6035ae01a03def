"""The sizes of a decoder-only transformer, and what follows from them: counts of parameters and widths."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Experts:
    """The mixture in those layers that have one. All but `layers` is of one such layer, in elements or experts."""

    layers: int
    """Layers with a mixture; the model's other layers are dense."""
    routed: int
    per_token: int
    """Routed experts that one token passes."""
    ffn: int
    """Intermediate width of one routed expert."""
    shared_ffn: int = 0
    """Intermediate width of what every token passes beside them: the sum over shared experts."""
    gate_parameters: int = 0
    """Of the router, and of the gate before the shared expert where there is one."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A decoder-only language model. Members and properties count elements unless they say otherwise.

    Where layers differ, dense ones beside mixtures of experts, properties of "a layer" are means over all layers.
    """

    family: str
    """The config's `model_type`; `generic` where only dimensions were given."""
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    key_dim: int
    """Width of a query's and a key's head."""
    value_dim: int
    """Width of a value's head: the same as `key_dim` but in multi-head latent attention."""
    vocabulary: int
    embedding_width: int
    """The hidden width, but in models that project their embeddings (OPT-350M)."""
    tied: bool
    """The head multiplies with the token embedding: those parameters exist once."""
    ffn: int
    """Intermediate width of a dense layer; 0 where no layer is dense."""
    mlp_matrices: int
    """Matrices of an MLP or expert: 3 in gated ones, 2 otherwise."""
    attention_parameters: int
    """Of the attention's matrices in one layer."""
    vector_parameters: int
    """Of norms and biases, over all layers."""
    position_parameters: int = 0
    """Of learned positions; 0 for rotary ones and ALiBi."""
    outer_parameters: int = 0
    """Outside the layers beside embedding, head and positions: norms, projections of the embedding, the head's bias."""
    mixture: Experts | None = None

    @property
    def head_dim(self) -> int:
        """Width of a head: the mean of keys and values, rounded down where they differ."""
        return (self.key_dim + self.value_dim) // 2

    @property
    def query_width(self) -> int:
        """Mean width of the queries and of the attention's output: heads × head width.

        Attention multiplies 4 · s · query_width per token and layer, and keeps 2 · query_width elements, latent or not.
        """
        return self.heads * (self.key_dim + self.value_dim) // 2

    @property
    def kv_width(self) -> int:
        """Mean width of keys and values as attention reads them; latent ones are expanded to all heads in training."""
        return self.kv_heads * (self.key_dim + self.value_dim) // 2

    @property
    def dense_layers(self) -> int:
        """Layers without a mixture of experts."""
        return self.layers - (self.mixture.layers if self.mixture else 0)

    @property
    def embedding_parameters(self) -> int:
        """Of the token embedding; an untied head has as many."""
        return self.vocabulary * self.embedding_width

    @property
    def parameters(self) -> int:
        """All of them, a tied head once."""
        ends = self.embedding_parameters * (1 if self.tied else 2)
        return self.linear_parameters + self.vector_parameters + ends + self.position_parameters + self.outer_parameters

    @property
    def active_parameters(self) -> int:
        """Those that take part in the pass of one token: without the routed experts that it skips."""
        if self.mixture is None:
            return self.parameters
        skipped = self.mixture.routed - self.mixture.per_token
        return self.parameters - self.mixture.layers * skipped * self._mlp(self.mixture.ffn)

    @property
    def linear_parameters(self) -> int:
        """Of all matrices inside the layers, every expert and router included: what quantisation of a base model packs."""
        return self._matrices(self.mixture.routed if self.mixture else 0)

    @property
    def layer_parameters(self) -> float:
        """All of one layer, every expert included."""
        return (self.linear_parameters + self.vector_parameters) / self.layers

    @property
    def layer_matmul_parameters(self) -> float:
        """Those of one layer that a token is multiplied with."""
        return self._matrices(self.mixture.per_token if self.mixture else 0) / self.layers

    @property
    def expert_parameters(self) -> float:
        """Of all routed experts of one layer: what expert parallelism splits."""
        if self.mixture is None:
            return 0.0
        return self.mixture.layers * self.mixture.routed * self._mlp(self.mixture.ffn) / self.layers

    @property
    def active_ffn(self) -> float:
        """Intermediate width that one token passes in a layer, shared experts included."""
        if self.mixture is None:
            return float(self.ffn)
        wide = self.mixture.per_token * self.mixture.ffn + self.mixture.shared_ffn
        return (self.dense_layers * self.ffn + self.mixture.layers * wide) / self.layers

    @property
    def experts(self) -> float:
        """Routed experts of a layer; 0 for dense models."""
        return self.mixture.layers * self.mixture.routed / self.layers if self.mixture else 0.0

    @property
    def experts_per_token(self) -> int:
        """Routed experts that a token passes in a layer that has them; 0 for dense models."""
        return self.mixture.per_token if self.mixture else 0

    def _mlp(self, width: int) -> int:
        return self.mlp_matrices * self.hidden * width

    def _matrices(self, experts: int) -> int:
        """Of the matrices of all layers, with so many routed experts in each mixture."""
        total = self.layers * self.attention_parameters + self.dense_layers * self._mlp(self.ffn)
        if self.mixture is None:
            return total
        width = experts * self.mixture.ffn + self.mixture.shared_ffn
        return total + self.mixture.layers * (self._mlp(width) + self.mixture.gate_parameters)


MODEL_COLUMNS = (
    "hidden", "layers", "heads", "query_width", "kv_width", "vocabulary", "active_ffn", "mlp_matrices", "experts",
    "experts_per_token", "parameters", "embedding_parameters", "tied", "layer_parameters", "layer_matmul_parameters",
    "expert_parameters",
)  # fmt: skip
"""The columns of the estimators' `Configurations` that the model alone decides."""


def model_columns(architecture: Architecture) -> dict[str, float]:
    """The model's columns for the estimators, by name, each as `Configurations` defines it."""
    return {name: float(getattr(architecture, name)) for name in MODEL_COLUMNS}
