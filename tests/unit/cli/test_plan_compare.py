"""Two plans term by term."""

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.support.space_answers import choice

from farthing.cli.plan_compare import Line, as_data, chosen, numbered, of_choices, table
from farthing.errors import InvalidSpec
from farthing.units import GIB


def by_term(lines):
    return {(line.section, line.term): line for line in lines}


def drawn(lines, width=120):
    out = StringIO()
    Console(width=width, file=out).print(table(lines, 1, 2))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_memory_is_compared_by_phase_and_term_with_the_peaks_marked():
    lines = by_term(of_choices(choice(allocated=50.0), choice(allocated=34.0)))

    assert lines["memory: forward", "activations"].difference == -16 * GIB
    assert lines["memory: forward", "sum (the peak of the first)"].left == 50 * GIB
    assert lines["memory: optimizer step", "sum (the peak of the second)"].right == 35 * GIB
    assert lines["memory: device", "safe"].difference == pytest.approx(-19.2 * GIB)


def test_a_common_peak_is_marked_once():
    lines = by_term(of_choices(choice(), choice(allocated=60.0)))

    assert ("memory: forward", "sum (the peak)") in lines
    assert ("memory: optimizer step", "sum") in lines


def test_only_words_that_differ_are_shown():
    lines = by_term(of_choices(choice(), choice(pool="big", nodes=4, binding="cost")))

    assert {term for section, term in lines if section == "layout"} == {"pool", "devices", "nodes"}
    assert lines["run", "binding"].right == "cost"
    assert lines["run", "binding"].difference is None
    assert ("run", "binding") not in by_term(of_choices(choice(), choice()))


def test_what_only_one_plan_has_counts_as_nothing_in_the_other():
    left = choice(time_terms={"gemm": 3.5005}, energy=None)
    lines = by_term(of_choices(left, choice(loss=None)))

    assert lines["time of a step", "attention"].left is None
    assert lines["time of a step", "attention"].difference == 0.5
    assert lines["run", "energy"].difference == 20.0
    assert lines["run", "loss"].right is None


def test_what_neither_plan_has_is_left_out():
    left, right = (choice(energy=None, time_terms={"gemm": 3.0, "bubble": 0.0}) for _ in range(2))
    lines = by_term(of_choices(left, right))

    assert ("run", "energy") not in lines
    assert ("time of a step", "bubble") not in lines


def test_the_table_has_units_signs_and_shares():
    lines = drawn(of_choices(choice(), choice(allocated=60.0, cost=300.0)))

    assert next(line for line in lines if line.startswith("activations")).split() == [
        "activations", "20.0", "GiB", "30.0", "GiB", "+10.0", "GiB", "+50.0%",
    ]  # fmt: skip
    assert next(line for line in lines if line.startswith("cost")).split() == [
        "cost", "400", "300", "-100", "-25.0%", "USD",
    ]  # fmt: skip
    assert next(line for line in lines if line.startswith("exposed communication")).split()[2:] == [
        "0.5",
        "ms",
        "0.5",
        "ms",
        "0",
    ]
    assert next(line for line in lines if line.startswith("seconds")).split() == ["seconds", "3h43m", "3h43m", "0"]
    assert "MEMORY: OPTIMIZER STEP" in " ".join(lines)


def test_what_is_missing_is_a_dash():
    lines = drawn([Line("run", "loss", None, 2.5, "nats/token"), Line("run", "pool", "a", "b")])

    assert lines[1].split() == ["loss", "–", "2.5", "+2.5", "nats/token"]
    assert lines[2].split() == ["pool", "a", "b"]


@given(st.floats(0, 1e15), st.floats(0, 1e15))
def test_the_data_adds_up(left, right):
    term = as_data([Line("run", "x", left, right, "B")], 1, 2)["terms"][0]

    assert term["difference"] == right - left


def test_two_plans_are_named_by_their_numbers():
    assert chosen("3, 1", ["a", "b", "c"]) == ((3, "c"), (1, "a"))
    assert numbered(2, ["a", "b"], "--pin") == "b"


@pytest.mark.parametrize("text", ["", "1", "1,1", "1,2,3", "a,b", "0,1", "1,4", "1,-2"])
def test_other_words_are_refused(text):
    with pytest.raises(InvalidSpec, match="--compare"):
        chosen(text, ["a", "b", "c"])


@pytest.mark.parametrize(
    ("seconds", "want"), [(0.00015, "0.15 ms"), (0.5, "500 ms"), (7.98, "7.98 s"), (15.9, "15.9 s"), (61.0, "1m01s")]
)
def test_times_are_as_fine_as_they_are_short(seconds, want):
    assert drawn([Line("time of a step", "x", seconds, seconds, "s")])[1].split()[1:] == [*want.split(), *want.split(), "0"]
