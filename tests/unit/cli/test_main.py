"""The program: verbs, global options anywhere, exit statuses, and what docs/cli.md says of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from farthing.cli import main
from farthing.cli.exits import MEANING, Exit, Failed, NotFinished, NotFound, exit_code
from farthing.cli.where import hoist
from farthing.errors import ClusterError, Conflict, InvalidSpec, NoPlan, Refused, Unreachable

ROOT = Path(__file__).parents[3]


@pytest.fixture
def cli():
    return CliRunner()


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        (["status"], ["status"]),
        (["status", "-n", "team", "job"], ["-n", "team", "status", "job"]),
        (["why", "job", "--namespace=team"], ["--namespace=team", "why", "job"]),
        (["--context", "a", "status", "--kubeconfig", "k"], ["--context", "a", "--kubeconfig", "k", "status"]),
        (["logs", "job", "--", "-n", "x"], ["logs", "job", "--", "-n", "x"]),
        (["status", "-n"], ["-n", "status"]),
        ([], []),
    ],
)
def test_global_options_may_stand_anywhere(arguments, want):
    assert hoist(arguments) == want


@pytest.mark.parametrize(
    ("error", "want"),
    [
        (NotFound("x"), 3),
        (NotFinished("x"), 5),
        (Failed("x"), 1),
        (InvalidSpec("a", "b", "c"), 2),
        (NoPlan("x"), 1),
        (Unreachable("x"), 4),
        (Refused("x"), 6),
        (Conflict("x"), 1),
        (ClusterError("x"), 1),
    ],
)
def test_every_error_has_its_exit_status(error, want):
    assert exit_code(error) == want


@pytest.mark.parametrize("verb", main.VERBS)
def test_every_verb_explains_itself(cli, verb):
    answer = cli.invoke(main.app, [verb, "--help"])

    assert answer.exit_code == 0, answer.output
    assert f"Usage: root {verb}" in answer.output


def test_help_lists_every_verb_and_exit_status(cli):
    answer = cli.invoke(main.app, ["--help"], env={"COLUMNS": "200"})

    assert [verb for verb in main.VERBS if verb not in answer.output] == []
    assert [code for code in Exit if str(code.value) not in answer.output] == []


def test_the_manual_tells_of_every_verb_and_exit_status():
    manual = (ROOT / "docs" / "cli.md").read_text()

    assert [verb for verb in main.VERBS if f"| `{verb}" not in manual] == []
    assert [
        code for code in Exit if f"| {code.value} | {MEANING[code]} |".replace("--timeout", "`--timeout`") not in manual
    ] == []


def test_a_word_that_is_no_verb_is_wrong_usage(cli):
    assert cli.invoke(main.app, ["bogus"]).exit_code == Exit.USAGE


def test_data_goes_to_stdout_as_json(cli):
    answer = cli.invoke(main.app, ["version", "-o", "json"])

    assert json.loads(answer.stdout)["apiVersion"] == "farthing.dev/v1alpha1"


def test_verbs_of_the_local_cluster_are_absent_where_its_package_is(monkeypatch, cli):
    monkeypatch.setattr(main.importlib.util, "find_spec", lambda name: None)

    assert cli.invoke(main.app, ["up", "--help"]).exit_code == Exit.USAGE
    assert cli.invoke(main.app, ["release", "--help"]).exit_code == 0


def test_an_error_is_one_line_on_stderr_and_a_status(tmp_path):
    broken = tmp_path / "kubeconfig"
    broken.write_text("{}")
    command = [sys.executable, "-m", "farthing.cli.main", "status", "--kubeconfig", str(broken)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == Exit.UNREACHABLE
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("error Unreachable: no cluster to speak to")


def test_release_runs_without_the_local_cluster_and_the_planner():
    program = (
        "import sys, farthing.cli.main, farthing.cli.release;"
        "print([name for name in ('farthing.local', 'farthing.planner', 'rich.progress') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
