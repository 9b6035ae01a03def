"""The shape of a decoder-only transformer of the Llama type: parameter counts from a configuration alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of a Llama-type model: RMSNorm, rotary positions, grouped-query attention, SwiGLU.

    All members are counts of elements. `query_width` = heads × head_dim, `kv_width` = kv_heads × head_dim.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocabulary: int
    tied_embeddings: bool

    @property
    def query_width(self) -> int:
        """Width of the queries: heads × head_dim."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of the keys, and of the values: kv_heads × head_dim."""
        return self.kv_heads * self.head_dim

    @property
    def layer_matmul_parameters(self) -> int:
        """Parameters of one block that take part in matrix products: q, k, v, o and the three of SwiGLU."""
        attention = 2 * self.hidden * self.query_width + 2 * self.hidden * self.kv_width
        return attention + 3 * self.hidden * self.ffn

    @property
    def layer_parameters(self) -> int:
        """Parameters of one block, its two norms included."""
        return self.layer_matmul_parameters + 2 * self.hidden

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the token embedding, vocabulary × hidden."""
        return self.vocabulary * self.hidden

    @property
    def matmul_parameters(self) -> int:
        """N_matmul: every block and the head; the embedding look-up costs no FLOPs, the head does."""
        return self.layers * self.layer_matmul_parameters + self.embedding_parameters

    @property
    def parameters(self) -> int:
        """All parameters; a tied head is counted once."""
        head = 0 if self.tied_embeddings else self.embedding_parameters
        return self.layers * self.layer_parameters + self.hidden + self.embedding_parameters + head


def shape_from_config(config: Mapping[str, Any]) -> ModelShape:
    """The shape in a Hugging Face `config.json` of the Llama type.

    Raises ValueError that names the key when one is missing, not an integer of at least 1, or of another model type.
    """
    model_type = config.get("model_type", "llama")
    if model_type not in SUPPORTED_MODEL_TYPES:
        raise ValueError(f"model_type: {model_type!r} is not supported; use one of {', '.join(SUPPORTED_MODEL_TYPES)}")
    hidden = _size(config, "hidden_size")
    heads = _size(config, "num_attention_heads")
    head_dim = _size(config, "head_dim", hidden // heads)
    return ModelShape(
        hidden=hidden,
        layers=_size(config, "num_hidden_layers"),
        heads=heads,
        kv_heads=_size(config, "num_key_value_heads", heads),
        head_dim=head_dim,
        ffn=_size(config, "intermediate_size"),
        vocabulary=_size(config, "vocab_size"),
        tied_embeddings=bool(config.get("tie_word_embeddings", False)),
    )


SUPPORTED_MODEL_TYPES = ("llama",)


def _size(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None:
        value = default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{key}: {value!r} must be a whole number of at least 1")
    return value
