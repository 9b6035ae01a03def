"""Which program runs a layout: our own trainer where it can, else a framework that has what it needs."""

from farthing.catalog.frameworks import framework, general
from farthing.contract.shape import SUPPORTED_MODEL_TYPES
from farthing.planner.space.answer import Layout
from farthing.planner.space.question import SpaceQuestion

TRAINER = "farthing_trainer"


def executable_by(question: SpaceQuestion, layout: Layout) -> str:
    """`farthing_trainer`; the framework that the question asks for; else the usual one for what ours does not do."""
    policy = framework(question.framework).name
    if policy not in ("farthing", "default"):
        return policy
    if policy == "farthing" and _ours(question, layout):
        return TRAINER
    return _usual(layout)


def _ours(question: SpaceQuestion, layout: Layout) -> bool:
    return (
        question.architecture.family in SUPPORTED_MODEL_TYPES
        and not _splits_model(layout)
        and layout.precision in ("float32", "bfloat16")
        and layout.optimizer == "AdamW"
        and layout.sharding in ("None", "FullShard")
        and layout.adapter in ("None", "LoRA")
        and layout.checkpointing in ("None", "Full")
        and not layout.offload
    )


def _splits_model(layout: Layout) -> bool:
    return max(layout.tp, layout.pp, layout.cp, layout.ep) > 1


def _usual(layout: Layout) -> str:
    if layout.adapter != "None":
        return "megatron" if _splits_model(layout) else "transformers-peft"
    if layout.sharding == "ZeRO2" or (layout.offload and layout.sharding != "FullShard" and layout.vpp == 1):
        return "deepspeed"
    if layout.sharding == "ZeRO1" or (_splits_model(layout) and layout.sharding == "None"):
        return "megatron"
    return "hf-trainer" if _needs_hugging_face(layout) else "torchtitan"


def _needs_hugging_face(layout: Layout) -> bool:
    """Loss scaling without a split model, and gradients that are projected."""
    projected = "projector" in general()["optimizers"].get(layout.optimizer.lower(), {})
    return (layout.precision == "float16" or projected) and not _splits_model(layout)
