"""`farthing plan --model`: from the options' words to one question for the search. Reads no cluster and no weights."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

from farthing.api.amounts import Axis
from farthing.catalog import preset
from farthing.catalog.frameworks import framework, frameworks
from farthing.catalog.tables import all_presets
from farthing.cli.plan_pools import asked_pools, money
from farthing.contract.shape import SUPPORTED_MODEL_TYPES
from farthing.errors import InvalidSpec
from farthing.models import Architecture, architecture_from_config
from farthing.planner.space.question import KNOBS, SpaceQuestion
from farthing.units import parse_amount, parse_duration

SEQUENCE_LENGTH = 4096
GLOBAL_BATCH = 128
"""Sequences: half a million tokens a step at 4096, as language models of some billion parameters are trained."""
NUMBERS = (
    ("accelerator_hours", Axis.ACCELERATOR_HOURS), ("flops", Axis.FLOPS), ("tokens", Axis.TOKENS), ("energy", Axis.ENERGY),
)  # fmt: skip
"""Limits that are plain numbers, by the option's name."""

OWN_TRAINER: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "precision": ("bfloat16", "float32"),
        "sharding": ("None", "FullShard"),
        "checkpointing": ("None", "Full"),
        "optimizer": ("AdamW",),
        "adapter": ("None", "LoRA"),
        "offload": ("false",),
        **dict.fromkeys(("tp", "pp", "cp", "ep"), ("1",)),
    }
)
"""What layouts may have that Farthing's own trainer runs (planner.space.executors)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The options as they were written; see `plan_options`."""

    model: str
    pool: Sequence[str] | None = None
    pools: Path | None = None
    budget: str | None = None
    tokens: str | None = None
    accelerator_hours: str | None = None
    flops: str | None = None
    energy: str | None = None
    deadline: str | None = None
    sequence_length: int | None = None
    global_batch: int = GLOBAL_BATCH
    framework: str = "farthing"
    pretrained: bool = False
    adapter: str | None = None
    lora_rank: int = 16
    unique_tokens: str | None = None
    epochs: str | None = None
    fix: Sequence[str] | None = None
    own_trainer: bool = False


def question(asked: Asked) -> tuple[SpaceQuestion, tuple[str, ...]]:
    """The question, and what its reader should know of it. Raises UserError that names the option."""
    config = model_config(asked.model)
    architecture = _architecture(asked.model, config)
    limits, currency = _limits(asked)
    pools, notes = asked_pools(asked.pool or (), asked.pools, currency, costs=Axis.COST in limits)
    knobs = fixed(asked.fix or (), asked.adapter)
    length, lengths = _length(asked.sequence_length, config)
    built = SpaceQuestion(
        model=asked.model,
        architecture=architecture,
        sequence_length=length,
        global_batch=asked.global_batch,
        pools=pools,
        remaining=limits,
        seconds_left=_duration(asked.deadline),
        framework=_framework(asked.framework),
        fixed=_ours(architecture, knobs, asked.pretrained) if asked.own_trainer else knobs,
        pretrained=asked.pretrained,
        lora_rank=asked.lora_rank,
        unique_tokens=int(_number("unique_tokens", asked.unique_tokens)) if asked.unique_tokens else None,
    )
    return built, (*lengths, *notes)


def model_config(model: str) -> dict[str, Any]:
    """The config of a preset (any case), of a config.json, or of a folder that holds one. Raises InvalidSpec."""
    if model.lower() in all_presets():
        return preset(model.lower())
    path = Path(model).expanduser()
    file = path / "config.json" if path.is_dir() else path
    if not file.exists():
        remedy = f"name a config.json, a folder with one, or a preset: {', '.join(all_presets())}"
        raise InvalidSpec("--model", model, remedy)
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidSpec("--model", str(file), f"it is no readable JSON ({error})") from error
    if not isinstance(config, dict):
        raise InvalidSpec("--model", str(file), "it holds no JSON object; give a Hugging Face config.json")
    return config


def fixed(words: Sequence[str], adapter: str | None = None) -> dict[str, tuple[str, ...]]:
    """`tp=2,4` → {"tp": ("2", "4")}. Raises InvalidSpec for a knob that is not known, without a value, or named twice."""
    found: dict[str, tuple[str, ...]] = {}
    for word in [*words, *([f"adapter={adapter}"] if adapter else [])]:
        knob, _, text = word.partition("=")
        knob = knob.strip().lower().replace("-", "_")
        values = tuple(value.strip() for value in text.split(",") if value.strip())
        if knob not in KNOBS:
            raise InvalidSpec("--fix", word, f"the knobs are {', '.join(KNOBS)}")
        if not values:
            raise InvalidSpec("--fix", word, f"write the values that it may take, as in {knob}=VALUE,VALUE")
        if knob in found:
            raise InvalidSpec("--fix", word, f"{knob} is fixed twice; write all its values once, as in {knob}=VALUE,VALUE")
        found[knob] = values
    return found


def _ours(architecture: Architecture, knobs: Mapping[str, tuple[str, ...]], pretrained: bool) -> dict[str, tuple[str, ...]]:
    """The knobs with those of OWN_TRAINER; adapters need trained weights below them.

    Raises InvalidSpec where the trainer does not run the model or a value.
    """
    if architecture.family not in SUPPORTED_MODEL_TYPES:
        remedy = f"Farthing's own trainer builds models of the type {', '.join(SUPPORTED_MODEL_TYPES)} alone"
        raise InvalidSpec("--own-trainer", architecture.family, remedy)
    runs = dict(OWN_TRAINER) if pretrained else {**OWN_TRAINER, "adapter": ("None",)}
    for knob, values in knobs.items():
        allowed = runs.get(knob, values)
        other = [value for value in values if value.lower() not in {each.lower() for each in allowed}]
        if other:
            remedy = f"Farthing's own trainer runs {', '.join(allowed)}; take one of these, or leave --own-trainer out"
            raise InvalidSpec(f"--fix {knob}", ", ".join(other), remedy)
    return {**runs, **knobs}


def _architecture(model: str, config: dict[str, Any]) -> Architecture:
    try:
        return architecture_from_config(config)
    except ValueError as error:
        raise InvalidSpec("--model", model, str(error)) from error


def _limits(asked: Asked) -> tuple[dict[Axis, Decimal], str | None]:
    """What limits the run, and the currency that its money is written in. Raises InvalidSpec where nothing does."""
    limits: dict[Axis, Decimal] = {}
    currency: str | None = None
    if asked.budget is not None:
        limits[Axis.COST], currency = money("--budget", asked.budget)
    for name, axis in NUMBERS:
        text = getattr(asked, name)
        if text is not None:
            limits[axis] = _number(name, text)
    if asked.epochs is not None:
        limits[Axis.TOKENS] = _passes(asked)
    if not limits and asked.deadline is None:
        remedy = "limit the run: --budget, --tokens, --accelerator-hours, --flops, --energy or --deadline, or several of them"
        raise InvalidSpec("--budget", None, remedy)
    return limits, currency


def _passes(asked: Asked) -> Decimal:
    """Tokens of so many passes over the data."""
    if asked.tokens is not None:
        raise InvalidSpec("--epochs", asked.epochs, "--tokens says how many already; give one of the two")
    if asked.unique_tokens is None:
        raise InvalidSpec("--epochs", asked.epochs, "say how many tokens a pass has, with --unique-tokens")
    return _number("epochs", str(asked.epochs)) * _number("unique_tokens", asked.unique_tokens)


def _number(name: str, text: str) -> Decimal:
    option = f"--{name.replace('_', '-')}"
    try:
        amount = parse_amount(text)
    except ValueError as error:
        raise InvalidSpec(option, text, str(error)) from error
    if amount <= 0:
        raise InvalidSpec(option, text, "it must be above 0")
    return amount


def _duration(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidSpec("--deadline", text, str(error)) from error


def _length(wanted: int | None, config: dict[str, Any]) -> tuple[int, tuple[str, ...]]:
    """The sequence length, and a note where it is beyond the positions that the config names."""
    holds = config.get("max_position_embeddings") or config.get("n_positions")
    if wanted is None:
        return min(SEQUENCE_LENGTH, holds or SEQUENCE_LENGTH), ()
    if holds is not None and wanted > holds:
        return wanted, (f"sequences of {wanted} tokens are longer than the {holds} positions of the model's config",)
    return wanted, ()


def _framework(name: str) -> str:
    if framework(name).name == "default" and name.strip().lower() != "default":
        raise InvalidSpec("--framework", name, f"use one of {', '.join(frameworks())}")
    return framework(name).name
