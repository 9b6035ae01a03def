"""What a free constant of the estimates is: a value, what was expected before any row was seen, and its physical meaning."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

FITTED = "fitted: robust least squares on logarithms, every source with equal weight, against the prior"


def constant(value: float, prior: float, spread: float, meaning: str, how: str = FITTED) -> Any:
    """A dataclass field. `spread` is the standard deviation of the logarithm before any row is seen; 0: a fit leaves it."""
    return field(default=value, metadata={"prior": prior, "spread": spread, "meaning": meaning, "how": how})


@dataclass(frozen=True, slots=True)
class Constants:
    """Positive numbers, each made by `constant`."""

    @classmethod
    def facts(cls) -> Mapping[str, Mapping[str, Any]]:
        """`prior`, `spread`, `meaning` and `how` (it was found) of every constant by name."""
        return {each.name: each.metadata for each in fields(cls)}

    @classmethod
    def free(cls) -> tuple[str, ...]:
        """Names of those that a fit may move."""
        return tuple(name for name, facts in cls.facts().items() if facts["spread"] > 0)
