"""Print what an extra of pyproject.toml requires, one requirement a line, extras of our own resolved.

The images install their dependencies from this list in a layer of its own, so that a change anywhere else in
pyproject.toml (or in the code) does not install them anew.

    python scripts/list_requirements.py operator
"""

import re
import sys
import tomllib
from pathlib import Path


def requirements(project: dict, extra: str | None) -> set[str]:
    """What the project needs with `extra` (None: without any), `name[other]` of its own replaced by what it means."""
    own = re.compile(rf"{re.escape(project['name'])}\[([\w,\s-]+)\]")
    found = set(project["dependencies"])
    for line in project["optional-dependencies"][extra] if extra else []:
        if match := own.fullmatch(line):
            for other in match[1].split(","):
                found |= requirements(project, other.strip())
        else:
            found.add(line)
    return found


if __name__ == "__main__":
    pyproject = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    sys.stdout.writelines(f"{line}\n" for line in sorted(requirements(pyproject["project"], sys.argv[1])))
