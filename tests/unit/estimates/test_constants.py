"""Free constants: each is described, none is per source, and the published table is complete."""

from dataclasses import fields
from pathlib import Path

import pytest
from tests.benchmarks.estimators_constants import page

from farthing.estimates.constants_memory import MemoryConstants
from farthing.estimates.constants_time import TimeConstants

DOCUMENT = Path(__file__).parents[3] / "docs" / "results" / "estimators-constants.md"


@pytest.mark.parametrize("kind", [MemoryConstants, TimeConstants])
def test_every_constant_has_a_value_a_prior_a_meaning_and_how_it_was_found(kind):
    for name, facts in kind.facts().items():
        assert set(facts) == {"prior", "spread", "meaning", "how"}, name
        assert getattr(kind(), name) > 0, name
        assert facts["prior"] > 0, name
        assert facts["spread"] >= 0, name
        assert len(facts["meaning"]) > 5, name
        assert facts["how"].startswith(("fitted: ", "not fitted: ")), name
        assert facts["spread"] == 0 or facts["how"].startswith("fitted: "), name


@pytest.mark.parametrize("kind", [MemoryConstants, TimeConstants])
def test_free_ones_are_those_with_a_spread(kind):
    assert set(kind.facts()) == {each.name for each in fields(kind)}
    assert kind.free() == tuple(name for name, facts in kind.facts().items() if facts["spread"] > 0)


def test_the_published_table_is_what_ships():
    assert DOCUMENT.read_text(encoding="utf-8") == page()
