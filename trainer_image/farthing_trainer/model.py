"""The model as the loop sees it: a port with blocks, backbone and head; transformers gives the definitions, the loss is ours.

Shapes: B sequences of a micro-batch, S tokens of a sequence, H hidden width, V vocabulary.
"""

import os
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.utils.checkpoint import checkpoint
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaForCausalLM, LlamaRotaryEmbedding

from farthing.contract.runconfig import LoraConfig, StrategyConfig
from farthing_trainer.errors import BadInput
from farthing_trainer.gang import Gang


class Model(nn.Module):
    """A Llama-type causal language model. `forward` gives the mean cross-entropy in nats per token."""

    def __init__(self, core: LlamaForCausalLM) -> None:
        super().__init__()
        self.core = core
        self.autocast: torch.dtype | None = None

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks, in order: what per-layer sharding and compiling work on."""
        return self.core.model.layers  # type: ignore[no-any-return]

    def backbone(self, tokens: torch.Tensor) -> torch.Tensor:
        """Hidden states before the head: (B, S) → (B, S, H)."""
        return self.core.model(input_ids=tokens, use_cache=False).last_hidden_state  # type: ignore[no-any-return]

    @property
    def head(self) -> torch.Tensor:
        """The output projection, (V, H)."""
        return self.core.lm_head.weight  # type: ignore[no-any-return]

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(B, S) and (B, S) → scalar. Projection and cross-entropy are fused: the logits (B·S, V) are never kept."""
        with torch.autocast(tokens.device.type, self.autocast, enabled=self.autocast is not None):
            hidden = self.backbone(tokens)
            return F.linear_cross_entropy(
                hidden.flatten(0, 1), self.head, targets.flatten(), options=nn.LinearCrossEntropyOptions()
            )

    @property
    def is_sharded(self) -> bool:
        """Whether FSDP2 holds the parameters; gradients are then reduced by it, else by the loop."""
        return isinstance(self, FSDPModule)

    def trainable(self) -> dict[str, nn.Parameter]:
        """Parameters that are trained, by their name in transformers' model; a tied one appears once."""
        return {canonical(name): p for name, p in self.named_parameters() if p.requires_grad}


def canonical(name: str) -> str:
    """A parameter's name in transformers' own model."""
    return name.removeprefix("core.")


def build_model(config: dict[str, Any], lora: LoraConfig | None) -> Model:
    """The model without memory (on the meta device), with its adapters where there are any. Raises BadInput."""
    try:
        settings = LlamaConfig(**config)
    except (TypeError, ValueError) as error:
        raise BadInput("model.config", config, f"transformers refuses it: {error}") from error
    settings._attn_implementation = "sdpa"
    with torch.device("meta"):
        core = LlamaForCausalLM(settings)
    if lora is not None:
        _add_adapters(core, lora)
    return Model(core)


def _add_adapters(core: LlamaForCausalLM, lora: LoraConfig) -> None:
    """Low-rank adapters on the named linear layers; everything else is frozen. peft is only imported here."""
    from peft import LoraConfig as PeftLoraConfig
    from peft import inject_adapter_in_model

    try:
        inject_adapter_in_model(peft_config(PeftLoraConfig, lora), core, low_cpu_mem_usage=True)
    except ValueError as error:
        raise BadInput("model.lora.targetModules", lora.target_modules, str(error)) from error


def peft_config(kind: type, lora: LoraConfig) -> Any:
    """peft's own config of the adapters."""
    return kind(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
        task_type="CAUSAL_LM",
    )


def arrange(model: Model, strategy: StrategyConfig, gang: Gang) -> None:
    """Apply checkpointing, compilation, sharding and precision, in this order, before the model has memory.

    In a world of one, and with sharding `None`, parameters are plain tensors and the loop adds up the gradients itself in one
    collective: the cheapest data parallelism for a model that fits.
    """
    _check(strategy, gang)
    if strategy.activation_checkpointing == "Full":
        for block in model.blocks:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    if strategy.compile:
        for block in model.blocks:
            block.compile(dynamic=False)
    reduced = torch.bfloat16 if strategy.precision == "bfloat16" else None
    if gang.world == 1 or strategy.sharding == "None":
        model.autocast = reduced
        return
    _shard(model, strategy, gang, reduced)


def _check(strategy: StrategyConfig, gang: Gang) -> None:
    if strategy.precision == "bfloat16" and gang.device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise BadInput("strategy.precision", "bfloat16", "this device has no bf16; use float32")
    if strategy.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself only with a fixed workspace
        torch.use_deterministic_algorithms(True)


def _shard(model: Model, strategy: StrategyConfig, gang: Gang, reduced: torch.dtype | None) -> None:
    """FSDP2: one unit for everything (`Root`: fewest collectives) or one a block (`PerLayer`: least memory)."""
    mesh = init_device_mesh(gang.device.type, (gang.world,))
    policy = MixedPrecisionPolicy(param_dtype=reduced, reduce_dtype=torch.float32 if reduced else None)
    if strategy.grouping == "PerLayer":
        for block in model.blocks:
            fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)


def give_memory(model: Model, device: torch.device) -> None:
    """Allocate what this rank holds. Values are undefined afterwards, but for the rotary tables, which are no parameters."""
    model.to_empty(device=device)
    model.core.model.rotary_emb = LlamaRotaryEmbedding(model.core.config).to(device)
    if model.core.config.tie_word_embeddings:
        model.core.lm_head.weight = model.core.model.embed_tokens.weight
    model.train()
