"""Long-running processes of one cluster: each writes its own pid file before it becomes the component.

A pid says nothing by itself (numbers are reused), so a process counts as ours only while its command line names our
state directory; every component's does, by a flag or a configuration file.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from farthing.errors import LocalClusterError
from farthing.local.paths import Paths
from farthing.local.shell import wait_until

LOG_LINES = 15
"""Lines of a component's log shown when it does not come up."""

STOP_SECONDS = 10.0
"""How long a component may take to leave after SIGTERM before it is killed."""

EXEC_SECONDS = 10.0
"""Bound of one `exec`, in which a process has no command line yet: large programs are read from a cold disk."""

LEAVING_SECONDS = 10.0
"""Bound of one exit, in which a process has no command line any more: an API server's memory takes 0.1 s to give back."""

PF_EXITING = 0x4
"""The flag of a thread that is past its last instruction (include/linux/sched.h)."""


@dataclass(frozen=True, slots=True)
class Component:
    """One process: `name` gives its pid file and log, `argv` must name the state directory."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def start(paths: Paths, component: Component) -> bool:
    """Start a component unless it runs already; True if it was started. It belongs to no terminal and no parent."""
    if pid_of(paths, component.name) is not None:
        return False
    argv = [str(word) for word in component.argv]
    if not any(_names(paths.state, word) for word in argv):
        raise LocalClusterError(f"{component.name}: its command line does not name {paths.state}: {argv}")
    pid_file = _pid_file(paths, component.name)
    pid_file.unlink(missing_ok=True)
    with log_of(paths, component.name).open("ab") as log:
        # The process itself writes the file, so that no crash of ours leaves one running without it.
        subprocess.run(
            ["setsid", "--fork", "sh", "-c", 'echo $$ >"$0.new" && mv "$0.new" "$0" && exec "$@"', pid_file, *argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
            cwd="/",
            env={**os.environ, **component.environment},
        )
    wait_until(pid_file.exists, f"{component.name}: pid file", seconds=30)
    return True


def stop(paths: Paths, name: str, *, sig: signal.Signals = signal.SIGTERM) -> None:
    """End a component and wait until it is gone; SIGKILL when it does not leave by itself."""
    pid = pid_of(paths, name)
    if pid is not None:
        _signal(pid, sig)
        try:
            wait_until(lambda: pid_of(paths, name) is None, name, seconds=STOP_SECONDS)
        except LocalClusterError:
            _signal(pid, signal.SIGKILL)
            wait_until(lambda: pid_of(paths, name) is None, f"{name} (pid {pid}) after SIGKILL", seconds=STOP_SECONDS)
    _pid_file(paths, name).unlink(missing_ok=True)


def pid_of(paths: Paths, name: str) -> int | None:
    """The pid of a running component, or None when it does not run or its number now belongs to someone else.

    One that was killed is gone only when its last thread is: until then its ports and files are taken.
    """
    try:
        pid = int(_pid_file(paths, name).read_text())
    except (FileNotFoundError, ValueError):
        return None
    words = command_line(pid)
    if not words:
        wait_until(lambda: not _leaving(pid), f"{name} (pid {pid}) left by all its threads", seconds=LEAVING_SECONDS)
    return pid if any(_names(paths.state, word) for word in words) else None


def names(paths: Paths) -> list[str]:
    """Every component that has a pid file, alive or not."""
    return sorted(file.stem for file in paths.run.glob("*.pid"))


def command_line(pid: int) -> list[str]:
    """The words of a process's command line; none when it is gone or a zombie."""
    deadline = time.monotonic() + EXEC_SECONDS
    while True:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[:-1]
        except (FileNotFoundError, ProcessLookupError):
            return []
        if words or not _in_exec(pid) or time.monotonic() > deadline:
            return words
        time.sleep(0.001)


def find(matches: Callable[[list[str]], bool]) -> list[int]:
    """The pids of all processes of the machine whose command line `matches`; zombies have none."""
    pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return [pid for pid in pids if (words := command_line(pid)) and matches(words)]


def log_of(paths: Paths, name: str) -> Path:
    """Where a component's output goes."""
    return paths.log / f"{name}.log"


def log_tail(paths: Paths, name: str) -> str:
    """The last lines of a component's log, for errors."""
    log = log_of(paths, name)
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:] if log.exists() else []
    return "\n".join([f"last lines of {log}:", *lines])


def _pid_file(paths: Paths, name: str) -> Path:
    return paths.run / f"{name}.pid"


def _names(state: Path, word: str) -> bool:
    """Whether a word of a command line has a path below `state` in it; `/a/b` is not named by `/a/bc`."""
    return f"{state}/" in word or word.endswith(str(state))


def _in_exec(pid: int) -> bool:
    """Whether a process without words has a program: then it is inside `exec`, while the kernel reads the program from disk. A
    zombie and a thread of the kernel have none."""
    try:
        Path(f"/proc/{pid}/exe").readlink()
    except OSError:
        return False
    return True


def _leaving(pid: int) -> bool:
    """Whether a process's first thread has ended and another has not."""
    threads = [state_and_flags for task in _listed(Path(f"/proc/{pid}/task")) if (state_and_flags := _state_and_flags(task))]
    first = _state_and_flags(Path(f"/proc/{pid}"))
    return first is not None and bool(first[1] & PF_EXITING) and any(state not in "ZX" for state, _ in threads)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []


def _state_and_flags(task: Path) -> tuple[str, int] | None:
    """Two fields of a thread's `stat` (proc_pid_stat(5)), counted behind the name; None once it is gone."""
    try:
        fields = (task / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[6])


def _signal(pid: int, sig: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)
