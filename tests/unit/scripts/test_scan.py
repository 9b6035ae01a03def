"""`make scan`: findings and answers are held against each other, and reports are read."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture
def scan(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("scan")


@pytest.fixture
def tools(scan: ModuleType) -> ModuleType:
    return importlib.import_module("scan_tools")


def test_a_finding_needs_an_answer_and_an_answer_its_finding(scan, tools):
    found = [
        tools.Finding("bandit", "B101", "a/b.py", "line 1: assert"),
        tools.Finding("bandit", "B602", "a/b.py", "line 2: shell"),
    ]
    answers = [scan.Answer("bandit", "B10*", "a/*", "why"), scan.Answer("trivy", "B602", "*", "why")]

    assert scan.unanswered(found, answers) == ["bandit B602 a/b.py: line 2: shell"]
    (line,) = scan.stale(found, answers)
    assert "nothing is found any more for trivy B602" in line


def test_every_answer_has_a_reason_and_is_a_scanners(scan, tools):
    answers = scan.read_answers((SCRIPTS / "scan-answers.toml").read_text())
    names = {tool.name for tool in tools.TOOLS}

    assert [answer for answer in answers if answer.tool not in names or len(answer.why.split()) < 2] == []
    assert len({(answer.tool, answer.check, answer.where) for answer in answers}) == len(answers)


def test_an_answer_without_a_reason_is_refused(scan):
    with pytest.raises(TypeError, match="why"):
        scan.read_answers('[[answer]]\ntool = "bandit"\ncheck = "B101"\nwhere = "*"\n')


REPORTS = {
    "bandit": {"results": [{"test_id": "B1", "filename": "f", "line_number": 3, "issue_text": "t"}]},
    "hadolint": [{"code": "DL1", "file": "f", "line": 3, "message": "t"}],
    "shellcheck": [{"code": 2086, "file": "f", "line": 3, "message": "t"}],
    "checkov": {
        "summary": {"parsing_errors": 0, "passed": 1},
        "results": {"failed_checks": [{"check_id": "C", "resource": "f", "check_name": "t"}]},
    },
    "trivy": {
        "Results": [
            {
                "Target": "f",
                "MisconfSummary": {"Successes": 1},
                "Misconfigurations": [{"ID": "K", "Message": "m", "Severity": "LOW", "Title": "t"}],
            }
        ]
    },
    "detect-secrets": {"results": {"f": [{"type": "Secret Keyword", "line_number": 3}]}},
}
LINES = {
    "kubernetes-validate": "INFO f passed for resource x/y\nERROR f failed",
    "yamllint": "f:3:1: [error] t (rule)",
}


@pytest.mark.parametrize(("name", "report"), [*((name, json.dumps(each)) for name, each in REPORTS.items()), *LINES.items()])
def test_reports_are_read(tools, name, report):
    tool = next(each for each in tools.TOOLS if each.name == name)
    (finding,) = tool.findings(report, tools.Inputs(Path(), Path(), []))

    assert finding.tool == name
    assert finding.where.startswith(("f", "chart.yaml"))


@pytest.mark.parametrize("name", [name for name in (*REPORTS, *LINES) if name != "yamllint"])
def test_no_report_is_no_clean_report(tools, name):
    """A scanner that broke, or that looked at nothing, must not pass for a clean one."""
    tool = next(each for each in tools.TOOLS if each.name == name)
    for text in ("", "{}", "Traceback (most recent call last)"):
        with pytest.raises((ValueError, KeyError, TypeError)):
            tool.findings(text, tools.Inputs(Path(), Path(), []))


def test_the_pins_are_nothing_but_pins():
    lines = [line for line in (SCRIPTS / "scan-constraints.txt").read_text().splitlines() if not line.startswith("#")]

    assert [line for line in lines if line.count("==") != 1 or {"/", "@", " "} & set(line)] == []
