"""The checkout's own scripts: what is locked, and how the tiers are counted."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pins_have_no_paths_and_no_addresses():
    frozen = "a==1.0\n-e file:///somewhere/b\nc @ https://host/c.whl\npip==23\nD-e_f.g==2.0+cpu\n\n"

    assert load("lock").pins(frozen) == ["a==1.0", "D-e_f.g==2.0+cpu"]


def test_the_committed_pins_are_nothing_but_pins():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]

    assert len(lines) > 50
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9._-]+==[^\s/@:]+", line)] == []


@pytest.mark.parametrize(
    ("attributes", "want"),
    [
        ('tests="5" failures="0" errors="0" skipped="0"', (5, 0)),
        ('tests="5" failures="1" errors="1" skipped="0"', (5, 2)),
        ('tests="5" failures="0" errors="0" skipped="1"', (5, 1)),
    ],
)
def test_a_tiers_report_is_counted(tmp_path, attributes, want):
    report = tmp_path / "report.xml"
    report.write_text(f"<testsuites><testsuite {attributes}/></testsuites>")

    assert load("run_tiers")._counts(report) == want


def test_a_tier_without_a_report_has_failed(tmp_path):
    assert load("run_tiers")._counts(tmp_path / "absent.xml") == (0, 1)


def covered(path, taken, of=100):
    files = {"a.py": {"summary": {"missing_branches": 1}}, "b.py": {"summary": {"missing_branches": of - taken}}}
    path.write_text(json.dumps({"totals": {"covered_branches": taken, "num_branches": of}, "files": files}))
    return path


@pytest.mark.parametrize(("taken", "failed"), [(95, 0), (94, 1)])
def test_a_share_of_the_branches_has_to_be_taken(tmp_path, capsys, taken, failed):
    assert load("run_tiers")._coverage(covered(tmp_path / "coverage.json", taken)).failed == failed
    assert ("6 missing in b.py" in capsys.readouterr().out) is bool(failed)


def test_branches_that_nobody_counted_have_failed(tmp_path):
    assert load("run_tiers")._coverage(tmp_path / "absent.json").failed == 1


def test_only_the_unit_tier_measures_and_every_pure_package_is_measured():
    tiers = load("run_tiers")
    assert tiers._measuring("trainer") == []
    strict = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"][0]["module"]
    assert [f"--cov={name.removesuffix('.*')}" for name in strict] == [
        option for option in tiers._measuring("unit") if option.startswith("--cov=")
    ]


@pytest.mark.parametrize(("failed", "want"), [(0, 0), (2, 1)])
def test_the_last_line_is_the_total(capsys, failed, want):
    tiers = load("run_tiers")

    assert tiers._total([tiers.Verdict("unit", 40, 0, 61.0), tiers.Verdict("e2e", 2, failed, 59.0)], 120.0) == want
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(
        "make test: passed: 42 checks, 0 failed" if failed == 0 else "make test: FAILED in e2e: 42 checks, 2"
    )


def test_every_tier_has_its_folder_and_its_target():
    tiers = load("run_tiers")
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)

    assert set(tiers.STATIC) | set(tiers.TESTS) <= set(targets)
    assert [folder for folders in tiers.TESTS.values() for folder in folders if not (ROOT / folder).is_dir()] == []
