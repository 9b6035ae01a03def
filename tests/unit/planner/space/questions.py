"""Questions to the search, built in one place."""

from collections.abc import Mapping
from decimal import Decimal

from tests.unit.planner.builders import offer_of

from farthing.api.amounts import Axis
from farthing.catalog import preset
from farthing.models import Architecture, architecture_from_config
from farthing.planner.space import SpaceQuestion

H100, H200, A100, L4 = "H100-80GB-SXM", "H200-141GB-SXM", "A100-80GB-SXM", "L4"


def model_of(name: str) -> Architecture:
    return architecture_from_config(preset(name))


def question_of(model: str = "llama-3.2-1b", **changes: object) -> SpaceQuestion:
    """A model of a billion parameters for two billion tokens on four H100 of one node."""
    values = {
        "model": model,
        "architecture": model_of(model),
        "sequence_length": 2048,
        "global_batch": 16,
        "pools": (offer_of("h100", H100, accelerators=4, accelerators_per_node=4),),
        "remaining": {Axis.TOKENS: Decimal("2e9")},
    }
    return SpaceQuestion(**{**values, **changes})


def fixed(**knobs: str) -> Mapping[str, tuple[str, ...]]:
    """Knob → its values, given as words separated by blanks."""
    return {name: tuple(words.split()) for name, words in knobs.items()}
