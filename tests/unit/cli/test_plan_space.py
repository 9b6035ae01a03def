"""The search's answer as tables and as data."""

import json
import re
from dataclasses import replace
from decimal import Decimal
from io import StringIO

import pytest
from rich.console import Console
from tests.support.space_answers import TOO_LARGE, choice, space
from typer.testing import CliRunner

from farthing.api.amounts import Axis
from farthing.cli import plan_space
from farthing.cli.exits import exit_code
from farthing.cli.main import app
from farthing.cli.plan_model import Asked, question
from farthing.errors import NoPlan
from farthing.planner import space as search

ASKED = ("--model", "llama-3.1-8b", "--pool", "h100x8@2.5", "--tokens", "2e9", "--sequence-length", "4096")
ANSWER = space(
    choice(),
    choice(pool="big", nodes=4, allocated=66.0, notes=("spot may go at any time",)),
    choice(cost=300.0, loss=None, notes=("spot may go at any time",)),
    front=(2, 0),
    rejections=(TOO_LARGE,),
    notes=("of the whole",),
)
UNPRICED = space(*[choice()] * 5, choice(pool="big", cost=None))


@pytest.fixture
def answered(monkeypatch):
    """The verb, with the search's answer and what it was asked."""
    asked = []

    def explore(question, top):
        asked.append((question, top))
        return answers[0]

    answers = [ANSWER]
    monkeypatch.setattr(search, "explore", explore)

    def run(*arguments, answer=ANSWER):
        answers[0] = answer
        return CliRunner().invoke(app, ["plan", *ASKED, *arguments])

    run.asked = asked
    return run


def drawn(answer, positions, width=120):
    out, asked = StringIO(), question(Asked("llama-3.1-8b", ["h100x8@2.5"], budget="500usd", deadline="2h", energy="7"))[0]
    Console(width=width, file=out).print(plan_space.page(answer, positions, asked, why=False))
    return out.getvalue()


def test_the_tables_show_what_people_choose_by(answered):
    shown = answered().stdout

    words = ("POOL", "GANG", "MEMORY", "TOKENS/S", "COST USD", "TIME", "TOKENS", "LOSS", "ENDS BY", "RUN BY", "LAYOUT", "±")
    assert [word for word in words if word not in shown] == []
    assert "12,345 configurations" in shown
    assert "llama-3.1-8b: 8.03G parameters, 128 sequences of 4096 tokens a step, at most 2G tokens" in shown
    assert "1*" in shown
    assert "4×8" in shown
    assert "bfloat16 FullShard dp8" in shown


def test_a_note_of_several_plans_is_told_once(answered):
    lines = answered().stdout.splitlines()

    assert [line.rstrip() for line in lines if "spot" in line] == ["2, 3: spot may go at any time"]
    assert "of the whole" in {line.rstrip() for line in lines}


def test_the_tables_fit_in_120_columns():
    lines = drawn(ANSWER, (0, 1, 2)).splitlines()

    assert "…" not in "".join(lines)
    assert lines[0].endswith("at most 500 USD, 7 kWh, 2h00m")
    assert sum(line.startswith(("1*", "2 ", "3*")) for line in lines) >= 3
    assert [line for line in lines if line.startswith("1*") and "±" in line]


def test_only_the_front_and_only_the_top_keep_their_numbers(answered):
    numbers = {
        options: [plan["number"] for plan in json.loads(answered(*options, "-o", "json").stdout)["plans"]]
        for options in (("--front",), ("--top", "2"), ("--front", "--top", "1"))
    }

    assert numbers == {("--front",): [1, 3], ("--top", "2"): [1, 2], ("--front", "--top", "1"): [1]}


def test_the_rejected_are_listed_with_their_constraint(answered):
    assert "rejected" not in answered().stdout
    assert "rejected h100x8 x8 None ac=None: memory (needs 130.5 GiB of 79.1)" in answered("--why").stdout


def test_the_data_has_the_question_and_every_term(answered):
    data = json.loads(answered("-o", "json").stdout)

    assert data["question"]["limits"] == {"tokens": "2000000000"}
    assert data["question"]["pools"][0]["pricePerAcceleratorHour"] == "2.5"
    assert data["front"] == [1, 3]
    first, third = data["plans"][0], data["plans"][2]
    assert first["memory"]["terms"]["forward"]["states"] > 0
    assert sum(first["timeTerms"].values()) == pytest.approx(first["predictions"]["step_seconds"]["value"])
    assert first["layout"]["signature"].startswith("bfloat16")
    assert "loss" not in third["predictions"]
    assert data["lookedAt"] == 12_345


def test_the_search_is_asked_what_the_options_say(answered):
    answered("--top", "200")
    asked, top = answered.asked[0]

    assert asked == question(Asked(model="llama-3.1-8b", pool=["h100x8@2.5"], tokens="2e9", sequence_length=4096))[0]
    assert asked.remaining == {Axis.TOKENS: Decimal("2e9")}
    assert top == 200


def test_what_was_assumed_goes_to_stderr(answered):
    answer = CliRunner().invoke(app, ["plan", "--model", "llama-3.1-8b", "--pool", "h100x8", "--tokens", "2e9"])

    assert "listed on-demand prices" in answer.stderr.replace("\n", " ")


def test_nothing_that_fits_is_said_with_what_came_closest(answered):
    empty = space(rejections=(TOO_LARGE,), front=())
    failure = answered(answer=empty).exception

    assert "rejected" not in answered(answer=empty).stderr
    assert "rejected h100x8 x8 None" in answered("--why", answer=empty).stderr
    assert isinstance(failure, NoPlan)
    assert exit_code(failure) == 1
    assert "needs 130.5 GiB of 79.1" in str(failure)


def test_two_plans_are_compared(answered):
    shown = answered("--compare", "1,2").stdout
    data = json.loads(answered("--compare", "1,2", "-o", "json").stdout)

    assert "PLAN 2" in shown
    assert [term["right"] for term in data["terms"] if term["term"] == "pool"] == ["big"]


def test_pools_without_a_row_are_told_of_under_the_tables(answered):
    def lines(*arguments):
        return answered("--pool", "big=b200x8@4", "--pool", "l4x8@0.4", *arguments).stdout

    assert "big: at best plan 2, 2G ±0% tokens in 3h43m ±14% for 400 ±14% USD" in lines("--top", "1")
    assert "l4x8: not among the 3 best plans" in lines("--top", "1")
    assert "h100x8: at best" not in lines("--top", "1")
    assert "big: at best" not in lines("--top", "2")
    assert "in 3h43m ±14%\n" in re.sub(" +\n", "\n", answered("--pool", "big=b200x8", answer=UNPRICED).stdout)


@pytest.mark.parametrize(
    ("allocated", "safe", "want"),
    [(0.0, 0.0, "............"), (40.0, 60.0, "######+++..."), (80.0, 80.0, "############"), (90.0, 100.0, "############")],
)
def test_the_memory_bar(allocated, safe, want):
    subject = replace(choice(), allocated=allocated, safe=safe, capacity=80.0)

    assert plan_space.bar(subject, plan_space.PLAIN) == want


def test_a_terminal_gets_blocks(monkeypatch):
    monkeypatch.setattr(plan_space.sys.stdout, "isatty", lambda: True)

    assert "████████▒···" in drawn(ANSWER, (0,))
