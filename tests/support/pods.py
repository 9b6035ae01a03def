"""A pod in processes that are forked instead of started: the real supervisor and real ranks, without paying for imports.

The supervisor's `posix_spawn` of a rank becomes a fork of the same; everything else is the product's.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from tests.support.forked import Forked
from tests.support.trainer import Run, environment, save_config

from farthing.contract.names import ENV_POD_INDEX, ENV_TERMINATION_LOG
from farthing.contract.progress import LastWord
from farthing.contract.runconfig import RunConfig
from farthing_trainer import __main__ as trainer_main

Put = Callable[[], None]


class Pod(Run):
    """One pod of an attempt. Its exit codes are one: the supervisor's."""

    @property
    def word_path(self) -> Path:
        return self.log_path.with_suffix(".word.json")

    def last_word(self) -> LastWord:
        return LastWord.model_validate_json(self.word_path.read_bytes())


@contextmanager
def pod(
    home: Path, config: RunConfig, *, around: Sequence[Put] = (), inside: Sequence[Put] = (), **extra: str
) -> Iterator[Pod]:
    """Start a pod. `around` is called in the supervisor before it starts and holds in its ranks too, `inside` in every rank."""
    index = extra.get(ENV_POD_INDEX, "0")
    log_path = home / f"{config.job.attempt}-{config.stage}-{index}.log"
    log_path.write_bytes(b"")
    word = log_path.with_suffix(".word.json")
    word.write_bytes(b"")
    env = environment(home, save_config(home, config), **{ENV_TERMINATION_LOG: str(word), **extra})
    process = Forked(_supervise, log_path, env, around, inside)

    def ended() -> list[int] | None:
        code = process.exit_code
        return None if code is None else [code]

    def signalled(number: int) -> None:
        os.kill(process.pid, number)

    try:
        yield Pod(config, home, log_path, lambda: children_of(process.pid), ended, signalled)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.end()


def children_of(pid: int) -> list[int]:
    """Process ids, in the order in which they were started."""
    with suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]
    return []


def state_of(pid: int) -> str:
    """The letter of a process's state in /proc: T where it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(") ", 1)[1][0]


def ends(run: Run) -> int:
    """The pod's exit code, once it has left with every process that it started."""
    (code,) = run.wait()
    return code


def outlive(home: Path, config: RunConfig, *, around: Sequence[Put] = (), inside: Sequence[Put] = (), code: int) -> Pod:
    """Run a pod to its end, which must be `code`."""
    with pod(home, config, around=around, inside=inside) as run:
        left = ends(run)
    run.ended = lambda: [left]
    assert left == code, f"the pod left with {left}\n{run.log}"
    return run


def _supervise(log_path: Path, env: Mapping[str, str], around: Sequence[Put], inside: Sequence[Put]) -> NoReturn:
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    with log_path.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    from farthing_trainer import supervisor

    def fork(_path: str, command: list[str], environment: dict[str, str], *, setsigmask: Any) -> int:
        child = os.fork()
        if child == 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, setsigmask)
            _be_a_rank(command, environment, inside)
        return child

    os.posix_spawn = fork  # type: ignore[assignment]
    for put in around:
        put()
    sys.exit(supervisor.main())


def _be_a_rank(command: list[str], environment: dict[str, str], inside: Sequence[Put]) -> NoReturn:
    """`python -m farthing_trainer --config …`, with the name that only a cluster resolves replaced by this machine's."""
    os.environ.clear()
    os.environ.update(environment, MASTER_ADDR="127.0.0.1", GLOO_SOCKET_IFNAME="lo")
    sys.argv = command[2:]
    code = 1
    try:
        for put in inside:
            put()
        code = trainer_main.main()
    finally:
        if (error := sys.exception()) is not None:
            sys.excepthook(type(error), error, error.__traceback__)
        os._exit(code)
