"""The policies that there are, by name. The protocol is `farthing.domain.scheduling.Policy`: one file a policy."""

from collections.abc import Mapping
from typing import Final

from farthing.domain.scheduling import Policy
from farthing.errors import InvalidSpec
from farthing.scheduler.priority_urgency_age import PriorityUrgencyAge

POLICIES: Final[Mapping[str, type[Policy]]] = {PriorityUrgencyAge.name: PriorityUrgencyAge}
DEFAULT: Final = PriorityUrgencyAge.name


def policy(name: str = DEFAULT) -> Policy:
    """The policy of that name. Raises InvalidSpec that lists the names there are."""
    chosen = POLICIES.get(name)
    if chosen is None:
        raise InvalidSpec("policy", name, f"choose one of {', '.join(sorted(POLICIES))}")
    return chosen()
