"""From what users wrote to one question for the planner: shapes, rows of the catalogue, prices, adapters."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from farthing.api.amounts import Axis
from farthing.api.job import BudgetedTrainingJobSpec, LoraSpec, ModelSpec
from farthing.api.pool import GPUNodePool
from farthing.catalog import preset, presets
from farthing.contract.flops import Adapter
from farthing.contract.shape import ModelShape, shape_from_config
from farthing.domain.planning import Measurement, PlanRequest, PoolOffer, RuntimeProfile
from farthing.errors import InvalidSpec
from farthing.planner.cpu_memory import MASTER
from farthing.planner.offers import NOTHING_MEASURED, pool_offers

FULL_TRAINING_BYTES = 4 * MASTER
"""Bytes a parameter of full training under AdamW: weight, gradient, two moments, all float32."""


def plan_request(
    spec: BudgetedTrainingJobSpec,
    pools: Sequence[GPUNodePool],
    *,
    remaining: Mapping[Axis, Decimal],
    seconds_left: float | None,
    tokens_done: int = 0,
    unique_tokens: int | None = None,
    memory_steps: int = 0,
    measurements: Sequence[Measurement] = (),
    pretrained_config: Mapping[str, Any] | None = None,
    startup_seconds: Mapping[str, float] = NOTHING_MEASURED,
    profile: RuntimeProfile | None = None,
) -> PlanRequest:
    """The question that this job puts to the planner. `pools` are those that its namespace may use.

    remaining: what is left by limited axis; seconds_left: until the deadline. pretrained_config: the folder's config.json where
    the caller knows it; startup_seconds: measured, by pool.

    Raises InvalidSpec (wrong model, no pool, mixed-up currency), UnknownAccelerator, MissingPrice: pools with a fault of their
    own are left out, and the first fault is raised where no pool is left.
    """
    shape = shape_from_config_field(model_config(spec.model, pretrained_config), spec.model)
    only_money = set(remaining) == {Axis.COST} and seconds_left is None
    offers = pool_offers(spec, pools, Axis.COST in remaining, startup_seconds, only_money=only_money)
    accelerators = spec.compute.accelerators
    adapter = _adapter(spec.model, shape, offers, accelerators.max)
    return PlanRequest(
        shape=shape,
        adapter=adapter,
        adapter_parameters=lora_parameters(shape, spec.model.lora or LoraSpec()) if adapter == "LoRA" else 0,
        pretrained=spec.model.pretrained is not None,
        sequence_length=spec.data.sequence_length,
        global_batch=spec.training.global_batch_size,
        pools=offers,
        min_accelerators=accelerators.min,
        max_accelerators=accelerators.max,
        fixed=spec.compute.strategy,
        remaining=remaining,
        seconds_left=seconds_left,
        tokens_done=tokens_done,
        unique_tokens=unique_tokens,
        memory_steps=memory_steps,
        measurements=tuple(measurements),
        profile=profile or RuntimeProfile(),
    )


def measured_startup(pools: Sequence[GPUNodePool]) -> dict[str, float]:
    """Seconds of start-up by pool, of those on which an attempt has started."""
    return {pool.metadata.name: float(text) for pool in pools if (text := pool.status.startup_seconds) is not None}


def model_config(model: ModelSpec, pretrained_config: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """The job's Hugging Face config: of the preset, inline, or of the pretrained folder. Raises InvalidSpec."""
    if model.preset is not None:
        return preset(model.preset)
    if model.config is not None:
        return model.config
    known = pretrained_config or (model.pretrained.config if model.pretrained is not None else None)
    if known is None:
        remedy = "copy the folder's config.json here: the operator plans from it and reads no tenant storage"
        raise InvalidSpec("spec.model.pretrained.config", None, remedy)
    return known


def shape_from_config_field(config: Mapping[str, Any], model: ModelSpec) -> ModelShape:
    """The shape in a config, with the field named where it is wrong. Raises InvalidSpec."""
    field = "spec.model.pretrained.config" if model.pretrained is not None else "spec.model.config"
    try:
        return shape_from_config(config)
    except ValueError as error:
        if model.preset is not None:
            remedy = f"the trainer does not build it ({error}); use one of {', '.join(presets())}"
            raise InvalidSpec("spec.model.preset", model.preset, remedy) from error
        raise InvalidSpec(field, dict(config), str(error)) from error


def lora_parameters(shape: ModelShape, lora: LoraSpec) -> int:
    """Parameters of the adapters: rank × (inputs + outputs) of each target in each layer; arXiv:2106.09685.

    Raises InvalidSpec on a target that a Llama block does not have.
    """
    widths = {
        "q_proj": shape.hidden + shape.query_width,
        "k_proj": shape.hidden + shape.kv_width,
        "v_proj": shape.hidden + shape.kv_width,
        "o_proj": shape.query_width + shape.hidden,
        "gate_proj": shape.hidden + shape.ffn,
        "up_proj": shape.hidden + shape.ffn,
        "down_proj": shape.ffn + shape.hidden,
    }
    unknown = [name for name in lora.target_modules if name not in widths]
    if unknown:
        raise InvalidSpec("spec.model.lora.targetModules", unknown, f"use any of {', '.join(widths)}")
    return shape.layers * lora.rank * sum(widths[name] for name in set(lora.target_modules))


def _adapter(model: ModelSpec, shape: ModelShape, offers: Sequence[PoolOffer], most: int) -> Adapter:
    """The adapter to plan with. `Auto`: all weights where their states fit the largest offer, LoRA where they do not."""
    if model.adapter == "QLoRA":
        remedy = "this trainer has no 4-bit base weights; use LoRA, or None"
        raise InvalidSpec("spec.model.adapter", "QLoRA", remedy)
    if model.pretrained is None:
        if model.adapter == "LoRA":
            raise InvalidSpec("spec.model.adapter", "LoRA", "adapters need trained weights below them: set model.pretrained")
        return "None"
    if model.adapter == "Auto":
        return "None" if _states_fit(shape, offers, most) else "LoRA"
    return model.adapter


def _states_fit(shape: ModelShape, offers: Sequence[PoolOffer], most: int) -> bool:
    """Whether the states of full training, sharded over the most accelerators, leave room on any offer."""
    rooms = [offer.memory_bytes for offer in offers]
    states = [FULL_TRAINING_BYTES * shape.parameters / min(most, offer.accelerators) for offer in offers]
    return any(room is None or need < room for room, need in zip(rooms, states, strict=True))
