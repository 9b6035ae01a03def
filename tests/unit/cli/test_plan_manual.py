"""Every command of docs/planning.md can be asked as it stands there, and every option of the verb is told of."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from farthing.cli.main import app
from farthing.cli.plan import app as plan_app
from farthing.cli.plan_pools import GRAMMAR
from farthing.errors import UserError

ROOT = Path(__file__).parents[3]
MANUAL = (ROOT / "docs" / "planning.md").read_text()
COMMANDS = sorted(set(re.findall(r"^\$ farthing (plan [^|\n]+)", MANUAL, flags=re.MULTILINE)))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_manual_does_what_it_says(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    answer = CliRunner().invoke(app, shlex.split(command))

    if f"$ farthing {command}\nerror " in MANUAL:
        assert isinstance(answer.exception, UserError)
    else:
        assert answer.exit_code == 0, answer.output


def test_the_manual_has_commands_of_both_questions():
    assert {command.split()[1] for command in COMMANDS} == {"--model", "-f"}


def test_the_manual_tells_of_every_option_and_of_the_grammar():
    options = {parameter.opts[0] for parameter in get_command(plan_app).params} - {"--help", "--filename", "--output"}

    assert {"--pin", "--fix", "--front"} < options
    assert sorted(option for option in options if option not in MANUAL) == []
    assert GRAMMAR in MANUAL


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_real_answer_can_be_read_by_programs(form):
    command = "plan --model llama-3.2-1b --pool h100x8@2 --pool a100x4:spot@1 --budget 20usd --why -o"
    data = yaml.safe_load(CliRunner().invoke(app, [*shlex.split(command), form]).stdout)
    best = data["plans"][0]

    assert data["question"]["limits"] == {"cost": "20"}
    assert best["predictions"]["cost"]["value"] <= 20
    assert best["memory"]["safeBytes"] <= best["memory"]["capacityBytes"]
    assert sum(best["timeTerms"].values()) == pytest.approx(best["predictions"]["step_seconds"]["value"])
