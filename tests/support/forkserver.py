"""Operators by fork: a process that has imported everything forks one for each line that it is told.

A restart costs a tenth of a second instead of three, and is a process all the same, which SIGKILL ends. Run as a module it
is that server: one JSON object {environment, log} a line on its standard input, one process id a line on its standard output.
"""

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from tests.support.free_port import free_port

ARGUMENTS = ["run", "--standalone", "--all-namespaces", "-m", "farthing.controller"]
PR_SET_PDEATHSIG = 1


class Process:
    """One operator. Not our child, so that it is known by a pidfd."""

    def __init__(self, pid: int, log: Path, port: int) -> None:
        self.pid = pid
        self.log = log
        self.port = port
        self._fd = os.pidfd_open(pid)
        self._gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._ended)

    @property
    def alive(self) -> bool:
        return not self._gone.is_set()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing where it has ended."""
        if self.alive:
            try:
                signal.pidfd_send_signal(self._fd, number)
            except ProcessLookupError:
                return

    def kill(self) -> None:
        """End it without a warning."""
        self.send(signal.SIGKILL)

    async def ended(self) -> None:
        """Until it has ended."""
        await self._gone.wait()

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self._gone.set()


class ForkServer:
    """The server's other end."""

    def __init__(self, server: asyncio.subprocess.Process) -> None:
        self._server = server
        self._one_at_a_time = asyncio.Lock()

    async def start(self, kubeconfig: Path, folder: Path, name: str, settings: dict[str, Any]) -> Process:
        """An operator that starts; whoever starts it ends it."""
        file, log, port = folder / f"{name}.yaml", folder / f"{name}.log", free_port()
        file.write_text(yaml.safe_dump(settings))
        environment = {
            "KUBECONFIG": str(kubeconfig),
            "FARTHING_SETTINGS": str(file),
            "FARTHING_HTTP_PORT": str(port),
            "POD_NAME": name,
        }
        async with self._one_at_a_time:
            assert self._server.stdin is not None
            assert self._server.stdout is not None
            self._server.stdin.write(json.dumps({"environment": environment, "log": str(log)}).encode() + b"\n")
            answer = await self._server.stdout.readline()
        return Process(int(answer), log, port)


@asynccontextmanager
async def fork_server() -> AsyncIterator[ForkServer]:
    """A server; what it forked ends with it."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "tests.support.forkserver")
    server = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parents[2], stdin=pipe, stdout=pipe)
    try:
        yield ForkServer(server)
    finally:
        assert server.stdin is not None
        server.stdin.close()
        await server.wait()


def serve() -> None:
    """Import, then fork for each line. Children are reaped by the kernel and die with the server."""
    from kopf.cli import main

    import farthing.controller  # noqa: F401 - imported once, here, for every child

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            be_an_operator(order, main)
        print(pid, flush=True)


def be_an_operator(order: dict[str, Any], main: Any) -> None:
    """The child: what `kopf run` does in the operator's image."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(order["environment"])
    main(args=ARGUMENTS, prog_name="kopf")


if __name__ == "__main__":
    serve()
