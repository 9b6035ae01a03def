import pytest

from farthing.errors import InvalidSpec
from farthing.scheduler.policy import DEFAULT, POLICIES, policy


def test_every_policy_is_found_by_its_own_name() -> None:
    for name in POLICIES:
        assert policy(name).name == name
    assert policy().name == DEFAULT


def test_an_unknown_policy_names_those_there_are() -> None:
    with pytest.raises(InvalidSpec, match="'Lottery' cannot be used: choose one of PriorityUrgencyAge"):
        policy("Lottery")
