"""Fixed parts are read, or refused with the knob, the value and the way out."""

import pytest
from tests.unit.planner.space.questions import fixed, question_of

from farthing.errors import InvalidSpec
from farthing.planner.space import KNOBS
from farthing.planner.space.knobs import COUNTS, SWITCHES, fixed_knobs, words


def test_values_are_read_in_order_and_once():
    knobs = fixed_knobs(
        question_of(fixed=fixed(tp="4 2 4", compile="False", sharding="fullshard zero1", optimizer="adamw lion"))
    )
    assert knobs == {"tp": (4, 2), "compile": (False,), "sharding": ("FullShard", "ZeRO1"), "optimizer": ("AdamW", "lion")}


@pytest.mark.parametrize(
    ("knob", "word", "way_out"),
    [
        ("colour", "red", "no such knob"), ("tp", "two", "whole number"), ("tp", "0", "whole number"),
        ("pp", "-1", "whole number"),
        ("compile", "yes", "true or false"), ("precision", "int4", "bfloat16"), ("optimizer", "magic", "AdamW"),
        ("sharding", "", "at least one value"), ("attention", "ring", "sdpa"), ("loss", "mse", "eager"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_the_way_out(knob, word, way_out):
    with pytest.raises(InvalidSpec, match=way_out) as fault:
        fixed_knobs(question_of(fixed=fixed(**{knob: word})))
    assert fault.value.field == knob
    assert fault.value.value == word


def test_every_knob_has_its_values():
    for knob in set(KNOBS) - COUNTS - SWITCHES:
        assert len(words(knob)) > 1
