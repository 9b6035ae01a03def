"""`make test`: every tier, one after the other, and one line at the end. Uses nothing but the standard library.

The Kubernetes binaries are built beside the tiers that need none of them, so that a cold run does not wait for them twice.
"""

import json
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOGS = ROOT / "build" / "test"

STATIC = ("format-check", "lint", "types", "imports", "crds-check")
TESTS = {
    "unit": ("tests/unit", "tests/architecture"),
    "trainer": ("tests/trainer",),
    "controller": ("tests/controller",),
    "chart": ("tests/chart",),
    "e2e": ("tests/e2e",),
}
"""Folders by tier, in order."""

PURE = (
    "units", "clock", "errors", "settings", "api", "contract", "domain", "models", "catalog", "estimates", "planner", "ledger",
    "scheduler", "engine",
)  # fmt: skip
"""Packages that hold the promises: the unit tier has to take this share of their branches."""
LEAST_BRANCHES = 0.95

NEEDS_BINARIES = ("controller", "chart", "e2e")

LAST = ("scan",)
"""Static tiers that need the binaries too: the scanners look at the chart as Helm renders it."""


@dataclass(frozen=True)
class Verdict:
    """How a tier ended. `tests` and `failed` are counts; static tiers count as one check."""

    tier: str
    tests: int
    failed: int
    seconds: float


def main() -> int:
    """Run everything; 0 only if every tier passed."""
    LOGS.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    builder = _start_building()
    verdicts = [_static(tier) for tier in STATIC]
    for tier in TESTS:
        if tier in NEEDS_BINARIES and builder is not None:
            _wait(builder)
            builder = None
        verdicts.append(_tests(tier))
        if tier == "unit":
            verdicts.append(_coverage(LOGS / "coverage.json"))
    verdicts += [_static(tier) for tier in LAST]
    return _total(verdicts, time.monotonic() - began)


def _start_building() -> subprocess.Popen[bytes]:
    _say("building the Kubernetes binaries beside the first tiers (build/test/binaries.log)")
    with (LOGS / "binaries.log").open("wb") as log:
        command = ["nice", "-n", "10", _program("farthing"), "up", "--build-only"]
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)


def _wait(builder: "subprocess.Popen[bytes]") -> None:
    _say("waiting for the Kubernetes binaries")
    if builder.wait() != 0:
        # The tiers that need them will fail with the reason; it is shown here where it is not yet far away.
        _say((LOGS / "binaries.log").read_text()[-3000:])


def _static(tier: str) -> Verdict:
    _say(tier)
    began = time.monotonic()
    code = subprocess.run(["make", "--no-print-directory", tier], cwd=ROOT, check=False).returncode
    return Verdict(tier, 1, int(code != 0), time.monotonic() - began)


def _tests(tier: str) -> Verdict:
    _say(tier)
    report = LOGS / f"{tier}.xml"
    report.unlink(missing_ok=True)
    command = [_program("pytest"), "-q", "--durations=5", f"--junitxml={report}", *_measuring(tier), *TESTS[tier]]
    began = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    tests, failed = _counts(report)
    return Verdict(tier, tests, failed or int(code != 0), time.monotonic() - began)


def _measuring(tier: str) -> list[str]:
    """What makes the unit tier write down which branches of the pure packages it takes."""
    if tier != "unit":
        return []
    report = LOGS / "coverage.json"
    report.unlink(missing_ok=True)
    return ["--cov-branch", f"--cov-report=json:{report}", *(f"--cov=farthing.{package}" for package in PURE)]


def _coverage(report: Path) -> Verdict:
    """The share of branches that were taken, of all pure packages together; the worst files are named where it is too low."""
    if not report.is_file():
        _say("branches: the unit tier left no report")
        return Verdict("branches", 1, 1, 0)
    measured = json.loads(report.read_text())
    total = measured["totals"]
    share = total["covered_branches"] / total["num_branches"]
    _say(f"branches of the pure packages: {total['covered_branches']} of {total['num_branches']} taken, {share:.1%}")
    missing = {name: file["summary"]["missing_branches"] for name, file in measured["files"].items()}
    if share < LEAST_BRANCHES:
        for name in sorted(missing, key=missing.__getitem__, reverse=True)[:10]:
            _say(f"  {missing[name]:4} missing in {name}", plain=True)
    return Verdict("branches", 1, int(share < LEAST_BRANCHES), 0)


def _counts(report: Path) -> tuple[int, int]:
    """Tests that ran, and those of them that failed or broke; a skipped test counts as failed, since none may be skipped."""
    if not report.is_file():
        return 0, 1
    suite = next(ElementTree.parse(report).iter("testsuite"))  # noqa: S314 - written by our own pytest a moment ago
    failed = sum(int(suite.get(name, "0")) for name in ("failures", "errors", "skipped"))
    return int(suite.get("tests", "0")), failed


def _total(verdicts: list[Verdict], seconds: float) -> int:
    _say("total")
    for verdict in verdicts:
        mark = "ok    " if verdict.failed == 0 else "FAILED"
        _say(f"  {mark} {verdict.tier:14}{verdict.tests:6} checks{verdict.seconds:8.0f} s", plain=True)
    broken = [verdict.tier for verdict in verdicts if verdict.failed]
    checks, failed = sum(verdict.tests for verdict in verdicts), sum(verdict.failed for verdict in verdicts)
    word = "passed" if not broken else f"FAILED in {', '.join(broken)}"
    _say(f"make test: {word}: {checks} checks, {failed} failed, {seconds / 60:.1f} minutes", plain=True)
    return int(bool(broken))


def _program(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _say(line: str, *, plain: bool = False) -> None:
    sys.stdout.write(f"{line}\n" if plain else f"\n== {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
