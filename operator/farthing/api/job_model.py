"""`spec.model` of a training job: which model, from which weights, with which adapters."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from farthing.api.base import ApiModel, Money, ShortText, Uri, rule, rules

OpenConfig = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]


class PretrainedModel(ApiModel):
    """A folder with config.json, safetensors and a tokenizer, at an fsspec URI that the worker can read."""

    uri: Uri
    """Where the folder is, for example file:///models/llama-1m or s3://bucket/model."""
    revision: ShortText | None = None
    """A version of the folder, for stores that have versions."""
    config: OpenConfig | None = None
    """The folder's config.json, inline: the operator reads no tenant storage, and plans from this."""


class LoraSpec(ApiModel):
    """Low-rank adapters; arXiv:2106.09685."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("double(self.dropout) < 1.0", 'model.lora.dropout must be below 1: it is a share, for example "0.05"'),
        )
    )
    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    """Width of the adapters."""
    alpha: Annotated[int, Field(ge=1, le=4096)] = 16
    """Scale: the adapters' output is multiplied by alpha ÷ rank."""
    dropout: Money = "0"
    """Share of the adapters' inputs that is dropped while training."""
    target_modules: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=16)] = Field(
        default=["q_proj", "k_proj", "v_proj", "o_proj"]
    )
    """Names of the linear layers that get an adapter."""


class ModelSpec(ApiModel):
    """The model: a preset of the catalogue, a Hugging Face config inline, or pretrained weights."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "(has(self.preset) ? 1 : 0) + (has(self.config) ? 1 : 0) + (has(self.pretrained) ? 1 : 0) == 1",
                "model needs exactly one of preset, config and pretrained",
            )
        )
    )
    preset: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """A model of the catalogue, initialised at random, for example llama-1m."""
    config: OpenConfig | None = None
    """A Hugging Face config.json written inline, initialised at random."""
    pretrained: PretrainedModel | None = None
    """Weights to start from."""
    adapter: Literal["None", "LoRA", "QLoRA", "Auto"] = "None"
    """None trains every weight; LoRA trains low-rank adapters only; Auto leaves it to the planner."""
    lora: LoraSpec | None = None
    """Shape of the adapters, where there are any."""
