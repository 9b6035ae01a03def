"""The papers about faults name tests; each of them must be there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAPERS = ("docs/faults.md", "docs/results/faults.md")
NAMED = re.compile(r"(tests/[\w/]+\.py)((?:::\w+)*)")


def named(paper: str) -> list[tuple[str, str]]:
    """Every test that the paper names, as file and the last of the names behind it."""
    text = (ROOT / paper).read_text(encoding="utf-8")
    return sorted({(match[1], match[2].rpartition("::")[2]) for match in NAMED.finditer(text)})


@pytest.mark.parametrize("paper", PAPERS)
def test_every_test_that_a_paper_names_is_there(paper: str) -> None:
    found = named(paper)
    assert found, f"{paper} names no test"
    missing = [f"{file}::{name}" for file, name in found if not _stands(file, name)]
    assert not missing, f"{paper} names what is not there: {', '.join(missing)}"


def _stands(file: str, name: str) -> bool:
    path = ROOT / file
    return path.is_file() and (not name or re.search(rf"(def|class) {name}\b", path.read_text(encoding="utf-8")) is not None)
