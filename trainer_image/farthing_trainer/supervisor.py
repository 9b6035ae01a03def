"""PID 1 of a pod: starts one process per accelerator, forwards signals, owns the deadline, names the way the pod ended.

It holds with the API server, the kubelet and the operator dead, and against a trainer that hangs in a collective (which it
sees by the ranks' pulse) or ignores every signal. Standard library only, so that it is up in a few milliseconds and nothing
in the image can break it.
"""

import json
import os
import signal
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from farthing.contract.exit_codes import ExitCode
from farthing.contract.names import ENV_DISABLE_SUPERVISOR_DEADLINE, ENV_POD_INDEX, ENV_RUN_CONFIG, RENDEZVOUS_PORT
from farthing_trainer.last_word import amend_last_word
from farthing_trainer.oom import oom_kills
from farthing_trainer.place import ENV_STARTED, Started
from farthing_trainer.pulse import ENV_PULSE, Listener

TERM_LEAD_SECONDS = 3.0
"""SIGTERM goes out this long before the supervisor's end: the trainer's own end has passed already."""
KILL_LEAD_SECONDS = 0.5
"""SIGKILL this long before it, so that everything is dead *at* the end."""
AFTER_A_FAILURE_SECONDS = 10.0
"""How long the others may take to leave once one process has failed."""
AFTER_A_FINISH_SECONDS = 120.0
"""How long the others may take once one process has left in order (0 or 143)."""
POLL_SECONDS = 0.5

WORST_FIRST = (ExitCode.BAD_CONFIG, ExitCode.OUT_OF_MEMORY, ExitCode.TRY_AGAIN, ExitCode.STOPPED, ExitCode.LANDED)
IN_ORDER = (ExitCode.LANDED, ExitCode.STOPPED)
_FORWARDED = {signal.SIGTERM, signal.SIGINT}
_WATCHED = _FORWARDED | {signal.SIGCHLD}


def worst(codes: list[ExitCode]) -> ExitCode:
    """The code that the pod leaves with: the first of 64, 76, 75, 143, 0 that any process left with."""
    return next(code for code in WORST_FIRST if code in codes)


def seconds_until(end: dict[str, Any], started: Started) -> float:
    """Seconds from now to an `End` of the run config; infinite where no time binds."""
    left = float("inf")
    if end.get("seconds") is not None:
        left = end["seconds"] - started.elapsed()
    if end.get("notAfter") is not None:
        left = min(left, datetime.fromisoformat(end["notAfter"].replace("Z", "+00:00")).timestamp() - time.time())
    return left


def processes(config: dict[str, Any]) -> int:
    """How many processes this pod runs: one per accelerator, but one for the prepare stage, which needs none."""
    return 1 if config["stage"] == "Prepare" else int(config["processesPerPod"])


def child_environment(config: dict[str, Any], local_rank: int, started: Started) -> dict[str, str]:
    """The environment of one process: torchrun's names, the start, one thread each."""
    pods, per_pod = config["pods"], processes(config)
    attempt = config["job"]["attempt"]
    alone = {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo")}
    environment = {
        **os.environ,
        "RANK": str(int(os.environ.get(ENV_POD_INDEX, "0")) * per_pod + local_rank),
        "LOCAL_RANK": str(local_rank),
        "WORLD_SIZE": str(pods * per_pod),
        "LOCAL_WORLD_SIZE": str(per_pod),
        "MASTER_PORT": os.environ.get("MASTER_PORT", str(RENDEZVOUS_PORT)),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "PYTHONUNBUFFERED": "1",
        ENV_STARTED: str(started),
    }
    return environment | (alone if pods == 1 else {"MASTER_ADDR": f"{attempt}-0.{attempt}"})


class Supervisor:
    """The children of one pod and the deadline over them."""

    def __init__(self, config: dict[str, Any], config_path: str, started: Started) -> None:
        self.config = config
        self.config_path = config_path
        self.started = started
        self.children: dict[int, int] = {}
        self.listeners: dict[int, Listener] = {}
        self.codes: list[ExitCode] = []
        self.why = ""
        self._reason = ""
        self._looked_at = time.monotonic()
        self._ooms = oom_kills()
        self._terminated = False
        self._killed = False
        self._others_must_end_at = float("inf")
        self._obeys_deadline = not os.environ.get(ENV_DISABLE_SUPERVISOR_DEADLINE)

    def run(self) -> ExitCode:
        """Start, watch and outlive the children. Returns the pod's exit code."""
        for local_rank in range(processes(self.config)):
            self._start(local_rank)
        while self.children:
            received = signal.sigtimedwait(_WATCHED, max(0.0, min(POLL_SECONDS, self._kill_in())))
            # Stopped and continued while it waits, Python 3.11 returns a number that no signal has.
            if received is not None and received.si_signo in _FORWARDED:
                self._signal_all(received.si_signo)
            self._reap()
            self._enforce()
        return worst(self.codes)

    def _start(self, local_rank: int) -> None:
        command = [sys.executable, "-m", "farthing_trainer", "--config", self.config_path]
        environment = child_environment(self.config, local_rank, self.started)
        rank, listener = int(environment["RANK"]), Listener()
        os.set_inheritable(listener.descriptor, True)
        environment[ENV_PULSE] = str(listener.descriptor)
        pid = os.posix_spawn(sys.executable, command, environment, setsigmask=())
        os.set_inheritable(listener.descriptor, False)
        self.children[pid] = rank
        self.listeners[rank] = listener

    def _signal_all(self, number: int) -> None:
        for pid in self.children:
            os.kill(pid, number)

    def _reap(self) -> None:
        """Collect every dead child; as PID 1 also the orphans of others."""
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            rank = self.children.pop(pid, None)
            if rank is not None:
                self._left(rank, os.waitstatus_to_exitcode(status))

    def _left(self, rank: int, status: int) -> None:
        code = self._meaning(status)
        self.codes.append(code)
        self.listeners.pop(rank).close()
        print(f"supervisor: rank {rank} left with {status}, which means {code.name} ({int(code)})", flush=True)
        if code in IN_ORDER:
            self._others_must_end_at = min(self._others_must_end_at, time.monotonic() + AFTER_A_FINISH_SECONDS)
            return
        self.why = self.why or f"rank {rank} left with {status}"
        if not self._terminated:
            self._terminated = True
            self._signal_all(signal.SIGTERM)
        self._others_must_end_at = min(self._others_must_end_at, time.monotonic() + AFTER_A_FAILURE_SECONDS)

    def _meaning(self, status: int) -> ExitCode:
        if status == -signal.SIGKILL and not self._killed and oom_kills() > self._ooms:
            return ExitCode.OUT_OF_MEMORY
        return ExitCode(status) if status in tuple(ExitCode) else ExitCode.TRY_AGAIN

    def _kill_in(self) -> float:
        end = seconds_until(self.config["lease"]["supervisorEnd"], self.started) if self._obeys_deadline else float("inf")
        return min(end - KILL_LEAD_SECONDS, self._others_must_end_at - time.monotonic())

    def _enforce(self) -> None:
        left = self._kill_in()
        if hung := self._hung():
            self._kill("RankHung", f"not heard of: {hung}")
        elif left <= 0 and self.children:
            self._kill("DeadlineExceeded", "killed at the supervisor's end")
        elif left <= TERM_LEAD_SECONDS - KILL_LEAD_SECONDS and not self._terminated:
            self._terminated = True
            self._signal_all(signal.SIGTERM)

    def _hung(self) -> str:
        """The ranks that broke their promise, and in which step; a gang waits for its slowest, so they are often all."""
        now = time.monotonic()
        awake, self._looked_at = min(now - self._looked_at, POLL_SECONDS), now
        steps = {rank: listener.hangs_in(awake) for rank, listener in self.listeners.items()}
        return ", ".join(f"rank {rank} in step {step}" for rank, step in steps.items() if step is not None)

    def _kill(self, reason: str, why: str) -> None:
        """SIGKILL to all: who hangs obeys nothing else. The first cause is the one that is told."""
        if not self.why:
            self._reason, self.why = reason, why
            print(f"supervisor: {why}", flush=True)
        self._killed = True
        self._signal_all(signal.SIGKILL)

    @property
    def reason(self) -> str:
        """CamelCase, for a last word that no trainer could write."""
        if self._reason:
            return self._reason
        return {ExitCode.OUT_OF_MEMORY: "OutOfMemory", ExitCode.BAD_CONFIG: "BadConfig"}.get(worst(self.codes), "ProcessLost")


def _unusable(path: str, error: Exception) -> ExitCode:
    message = f"{ENV_RUN_CONFIG}: {path!r} cannot be used: {error!r}; it must name a run config"
    print(message, file=sys.stderr)
    amend_last_word(ExitCode.BAD_CONFIG, "BadConfig", message)
    return ExitCode.BAD_CONFIG


def main() -> int:
    """Run the pod; returns its exit code."""
    started = Started.now()
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    path = os.environ.get(ENV_RUN_CONFIG, "")
    try:
        config = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return _unusable(path, error)
    supervisor = Supervisor(config, path, started)
    try:
        code = supervisor.run()
    except (ValueError, KeyError) as error:
        return _unusable(path, error)
    except OSError as error:  # the machine's fault, not the config's: no process can be started
        amend_last_word(ExitCode.TRY_AGAIN, "ProcessLost", f"the supervisor failed: {error}")
        return ExitCode.TRY_AGAIN
    if code not in IN_ORDER:
        amend_last_word(int(code), supervisor.reason, supervisor.why)
    return code


if __name__ == "__main__":
    sys.exit(main())
