"""Running other programs and waiting for conditions: the only ways this package does either."""

import os
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from farthing.errors import LocalClusterError

TAIL = 2000
"""Characters of a failed program's output that go into the error."""


def run(
    argv: Sequence[str | Path],
    *,
    text: str | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a program to its end and return its standard output. `environment` adds to the process's own.

    Raises LocalClusterError with the command and the end of its output when it is missing or fails.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
        )
    except FileNotFoundError as error:
        raise LocalClusterError(f"{words[0]}: no such program; run `farthing up` to install what is missing") from error
    if done.returncode != 0:
        output = (done.stdout + done.stderr).strip()[-TAIL:]
        raise LocalClusterError(f"`{' '.join(words)}` ended with {done.returncode}:\n{output}")
    return done.stdout


def stream(
    argv: Sequence[str | Path],
    each_line: Callable[[str], None],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: tuple[int, int] | None = None,
) -> None:
    """Run a long program and hand on each line of its output as it comes. `user` is a uid and gid to run it as.

    Raises LocalClusterError with the command and the end of its output when it fails.
    """
    words = [str(word) for word in argv]
    uid, gid = user or (None, None)
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        user=uid,
        group=gid,
    )
    last_lines: deque[str] = deque(maxlen=40)
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            last_lines.append(line)
            each_line(line.strip())
    if process.returncode != 0:
        raise LocalClusterError(f"`{' '.join(words)}` ended with {process.returncode}:\n{''.join(last_lines)[-TAIL:]}")


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Whether a program ends with 0; its output is dropped. False too where the program is missing."""
    try:
        return subprocess.run([str(word) for word in argv], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float, hint: Callable[[], str] = str) -> None:
    """Poll `condition` until it holds.

    Raises LocalClusterError naming `what` after `seconds`, followed by what `hint` says (the end of a log, say).
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LocalClusterError(f"{what}: not so after {seconds:g} s\n{hint()}".rstrip())
        time.sleep(0.05)


def write_atomically(path: Path, content: str, *, mode: int = 0o644) -> None:
    """Write a whole file or nothing: a crash leaves the old content. `mode` holds from the first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(content)
    aside.replace(path)
