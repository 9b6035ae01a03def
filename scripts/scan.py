"""`make scan`: static scanners over code, images, chart and the objects of an attempt. Every finding is mended or answered.

Answers stand in scripts/scan-answers.toml, each with its reason; one that answers nothing any more fails the scan too. The
tools live in an environment of their own, .venv-scan, at the versions of scripts/scan-constraints.txt: checkov and Farthing
want different versions of the same packages. None of them uses the network once it is installed.
"""

import hashlib
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

from scan_tools import TOOLS, Finding, Inputs, Tool

from farthing.errors import LocalClusterError
from farthing.local.builds import HELM, build
from farthing.local.paths import resolve
from farthing.local.shell import run

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "scripts" / "scan-constraints.txt"
ANSWERS = ROOT / "scripts" / "scan-answers.toml"
ENVIRONMENT = ROOT / ".venv-scan"
CHART = ROOT / "charts" / "farthing"
AT_A_TIME = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """Why a finding stays: `check` and `where` may hold wildcards."""

    tool: str
    check: str
    where: str
    why: str

    def fits(self, finding: Finding) -> bool:
        """Whether it is about this finding."""
        return self.tool == finding.tool and fnmatchcase(finding.check, self.check) and fnmatchcase(finding.where, self.where)


def main() -> int:
    """Scan; 0 only if every finding is answered and every answer has its finding."""
    began = time.monotonic()
    try:
        _install()
        findings = _scan()
    except (LocalClusterError, subprocess.CalledProcessError) as error:
        _say(f"the scan could not be made: {error}")
        return 1
    answers = read_answers(ANSWERS.read_text())
    problems = [*unanswered(findings, answers), *stale(findings, answers)]
    for problem in problems:
        _say(problem)
    _say(
        f"{len(TOOLS)} scanners, {len(findings)} findings, {len(answers)} answers, {len(problems)} problems,"
        f" {time.monotonic() - began:.0f} s"
    )
    return int(bool(problems))


def read_answers(text: str) -> list[Answer]:
    """The answers of the file. Raises TypeError for an entry with other members than an answer's."""
    return [Answer(**entry) for entry in tomllib.loads(text)["answer"]]


def unanswered(findings: Sequence[Finding], answers: Sequence[Answer]) -> list[str]:
    """A line for each finding that nothing answers."""
    return [
        f"{finding.tool} {finding.check} {finding.where}: {finding.message}"
        for finding in findings
        if not any(answer.fits(finding) for answer in answers)
    ]


def stale(findings: Sequence[Finding], answers: Sequence[Answer]) -> list[str]:
    """A line for each answer whose finding is gone."""
    return [
        f"{ANSWERS.name}: nothing is found any more for {answer.tool} {answer.check} {answer.where}: take the answer out"
        for answer in answers
        if not any(answer.fits(finding) for finding in findings)
    ]


def _install() -> None:
    """Make or renew the tools' environment, once for each content of the constraints."""
    stamp, wanted = ENVIRONMENT / ".installed", hashlib.sha256(CONSTRAINTS.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    _say(f"installing the scanners into {ENVIRONMENT.name}")
    uv = Path(sys.executable).parent / "uv"
    python = ENVIRONMENT / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, ENVIRONMENT], check=True)
    subprocess.run([uv, "pip", "sync", "--quiet", "--python", python, CONSTRAINTS], check=True)
    # checkov's bc-detect-secrets holds the same modules, and whichever is written last is what runs: the original has to be.
    again = ["--no-deps", "--constraint", CONSTRAINTS, "--reinstall-package", "detect-secrets", "detect-secrets"]
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *again], check=True)
    stamp.write_text(wanted)


def _scan() -> list[Finding]:
    """What all tools found, in the order of the tools."""
    with TemporaryDirectory() as folder:
        inputs = _inputs(Path(folder))
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            found = list(pool.map(lambda tool: _found(tool, inputs), TOOLS))
    return [finding for group in found for finding in group]


def _inputs(folder: Path) -> Inputs:
    """The chart as it renders, and the objects of an attempt as the operator makes them, out of the default namespace."""
    helm = build(resolve(), [HELM], _say)["helm"]
    rendered = run([helm, "template", "farthing", CHART, "--namespace", "farthing-system", "--kube-version", "1.34.0"])
    manifests = {"chart.yaml": rendered.rstrip() + "\n"}
    for golden in sorted((ROOT / "tests" / "data").glob("attempt-*.yaml")):
        manifests[golden.name] = golden.read_text().replace("namespace: default", "namespace: team")
    for name, text in manifests.items():
        (folder / name).write_text(text)
    return Inputs(ROOT, folder, [folder / name for name in manifests])


def _found(tool: Tool, inputs: Inputs) -> list[Finding]:
    """Run one tool. LocalClusterError with its words where it broke instead of scanning."""
    done = subprocess.run(tool.command(inputs, ENVIRONMENT), cwd=ROOT, capture_output=True, text=True, check=False)
    broken = f"{tool.name} ended with {done.returncode} and no report:\n{(done.stdout + done.stderr).strip()[-2000:]}"
    try:
        findings = tool.findings(done.stdout, inputs)
    except (ValueError, KeyError, TypeError) as error:
        raise LocalClusterError(broken) from error
    if done.returncode and not findings:
        raise LocalClusterError(broken)
    return findings


def _say(line: str) -> None:
    sys.stdout.write(f"scan: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
