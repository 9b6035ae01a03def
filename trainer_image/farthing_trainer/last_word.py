"""The file of the last word: the container's termination message. Standard library only, shared by supervisor and trainer."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from farthing.contract.names import ENV_TERMINATION_LOG

_KUBELETS_FILE = Path("/dev/termination-log")


def last_word_path() -> Path | None:
    """Where the last word goes: the env variable's path, else kubelet's file where kubelet made it, else nowhere."""
    if os.environ.get(ENV_TERMINATION_LOG):
        return Path(os.environ[ENV_TERMINATION_LOG])
    return _KUBELETS_FILE if _KUBELETS_FILE.exists() else None


def write_last_word(text: str) -> None:
    """Write it; a file that cannot be written is reported and never fails the run."""
    path = last_word_path()
    if path is None:
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        print(f"the last word could not be written to {path}: {error}", file=sys.stderr)


def amend_last_word(exit_code: int, reason: str, message: str) -> None:
    """Make the last word agree with the pod's exit code: keep rank 0's where it does, correct or write it where not."""
    said = _read_last_word()
    if said.get("exitCode") == exit_code:
        return
    write_last_word(json.dumps({**said, "exitCode": exit_code, "reason": reason, "message": message}, separators=(",", ":")))


def _read_last_word() -> dict[str, Any]:
    path = last_word_path()
    try:
        said = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    except (OSError, ValueError):  # absent, empty or cut short: nothing was said
        return {}
    return said if isinstance(said, dict) else {}
