"""What a user fixed, read: words of each knob, and the values that each may take where it is free."""

from collections.abc import Callable, Mapping
from typing import Any

from farthing.catalog.frameworks import general
from farthing.errors import InvalidSpec
from farthing.estimates.rows_columns import ATTENTION, LOSS
from farthing.planner.space.question import KNOBS, SpaceQuestion

PRECISIONS = ("bfloat16", "fp8", "float16", "float32")
"""Where it is free, float16 stands in for bfloat16 on devices that have none."""
SHARDINGS = ("None", "ZeRO1", "ZeRO2", "FullShard")
"""By the integer of `Sharding`."""
CHECKPOINTINGS = ("None", "SelectiveOp", "Selective2", "Full")
ADAPTERS = ("None", "LoRA", "QLoRA", "DoRA", "QDoRA")
FREE_ADAPTERS = ADAPTERS[:3]
"""Where the adapter is free: weight-decomposed ones take more of everything, and their gain no law tells."""
QUANTIZED = ("QLoRA", "QDoRA")
"""Adapters over a base in 4 bits."""
CHUNKS = (1, 2, 4)
"""Where vpp is free. More were best for a third of the pipelines of an 8B and two thirds of a 70B's, by 1 % in the median."""
OPTIMIZERS = ("AdamW", "AdamW8bit")
"""Where the optimizer is free: those whose step is bound by memory traffic, which the time estimate counts."""
COUNTS = frozenset({"tp", "pp", "vpp", "cp", "ep", "micro_batch", "devices"})
SWITCHES = frozenset({"sequence_parallel", "compile", "offload"})

Knobs = Mapping[str, tuple[Any, ...]]
"""Knob → values it may take: words, whole numbers or booleans; an absent knob is free."""


def fixed_knobs(question: SpaceQuestion) -> Knobs:
    """The question's fixed parts as values. Raises InvalidSpec that names knob, value and way out."""
    return {name: _values(name, words) for name, words in question.fixed.items()}


def _values(name: str, words: tuple[str, ...]) -> tuple[Any, ...]:
    if name not in KNOBS:
        raise InvalidSpec(name, ", ".join(words), f"there is no such knob: fix any of {', '.join(KNOBS)}")
    if not words:
        raise InvalidSpec(name, "", "give it at least one value, or leave the knob free")
    return tuple(dict.fromkeys(_reader(name)(name, str(word).strip()) for word in words))


def _reader(name: str) -> Callable[[str, str], Any]:
    if name in COUNTS:
        return _count
    return _switch if name in SWITCHES else _word


def _count(name: str, word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise InvalidSpec(name, word, "give a whole number of at least 1")
    return int(word)


def _switch(name: str, word: str) -> bool:
    if word.lower() not in ("true", "false"):
        raise InvalidSpec(name, word, "give true or false")
    return word.lower() == "true"


def _word(name: str, word: str) -> str:
    known = {each.lower(): each for each in words(name)}
    if word.lower() not in known:
        raise InvalidSpec(name, word, f"use any of {', '.join(known.values())}")
    return known[word.lower()]


def low_bit(optimizer: str) -> bool:
    """Whether its states have a size of their own, 8 bits and fewer, whatever the parameters' dtype."""
    kinds = general()["optimizers"]
    return "bytes" in kinds.get(optimizer.lower(), {})


def words(name: str) -> tuple[str, ...]:
    """Every word that a knob of words knows, as choices show it."""
    if name == "optimizer":
        usual = {each.lower() for each in OPTIMIZERS}
        return (*OPTIMIZERS, *(each for each in general()["optimizers"] if each not in usual))
    known: Mapping[str, tuple[str, ...]] = {
        "precision": PRECISIONS, "sharding": SHARDINGS, "checkpointing": CHECKPOINTINGS, "adapter": ADAPTERS,
        "attention": tuple(ATTENTION), "loss": tuple(LOSS),
    }  # fmt: skip
    return known[name]
