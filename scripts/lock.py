"""Write constraints.txt: every package of this environment at its version, without paths and addresses.

Run by `make lock` with the environment's own Python.
"""

import re
import subprocess
import sys
from pathlib import Path

FILE = Path(__file__).parent.parent / "constraints.txt"

HEAD = """\
# Every package of the development environment, of both images and of what they need, at the version that was tested.
# Used as `-c constraints.txt`; written anew by `make lock`.
"""

NOT_LOCKED = ("pip", "setuptools")
"""Tools of the environment itself."""


def pins(freeze: str) -> list[str]:
    """The lines `name==version` of a freeze; local paths, addresses and editable installs are left out."""
    lines = (line.strip() for line in freeze.splitlines())
    return [line for line in lines if re.fullmatch(r"[A-Za-z0-9._-]+==\S+", line) and line.split("==")[0] not in NOT_LOCKED]


if __name__ == "__main__":
    uv = Path(sys.executable).parent / "uv"
    freeze = subprocess.run([uv, "pip", "freeze", "--python", sys.executable], capture_output=True, text=True, check=True)
    FILE.write_text(HEAD + "".join(f"{line}\n" for line in pins(freeze.stdout)))
