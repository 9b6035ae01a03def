"""Tiny training runs in real processes: a corpus, a run config, and ways to start, ask and stop them."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem
from tests.support.forked import Forked
from tests.support.free_port import free_port

from farthing.contract.checkpoint import MANIFEST_NAME, Manifest
from farthing.contract.names import ENV_RUN_CONFIG, ENV_TERMINATION_LOG
from farthing.contract.progress import LastWord, Progress
from farthing.contract.runconfig import RunConfig
from farthing_trainer import __main__ as trainer_main
from farthing_trainer.place import ENV_STARTED, Started
from farthing_trainer.signals import Termination

T = TypeVar("T")
TOKEN = "a-token-of-the-tests"
SEQUENCE = 32
GLOBAL_BATCH = 4
TOKENS_PER_STEP = SEQUENCE * GLOBAL_BATCH
PATIENCE_SECONDS = 120.0

TINY_LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 300,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": 0,
}


def write_corpus(folder: Path, documents: int = 40) -> Path:
    """Documents of plain words, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    words = "the budget of a run is spent on steps and each step buys a little less loss than the last".split()  # noqa: SIM905 - reads better than a list
    for number in range(documents):
        text = " ".join(words[(number * 7 + i * (number % 5 + 1)) % len(words)] + str(i % 10) for i in range(120))
        (folder / f"{number:03d}.txt").write_text(f"document {number}\n{text}\n", encoding="utf-8")
    return folder


def run_config(home: Path, *, stage: str = "Train", processes: int = 1, tokens: int | None = None, **changes: Any) -> RunConfig:
    """A run of the tiny model below `home`. `changes` replace whole members or, as dicts, single keys of them."""
    config: dict[str, Any] = {
        "stage": stage,
        "job": {"namespace": "tests", "name": "tiny", "uid": "uid-1", "attempt": "tiny-abcde-1", "attemptNumber": 1},
        "model": {"config": TINY_LLAMA},
        "data": {
            "train": {"uri": f"file://{home}/corpus/*.txt"},
            "validationFraction": 0.1,
            "tokenizer": {"vocabularySize": 300},
            "sequenceLength": SEQUENCE,
            "preparedUri": f"file://{home}/prepared",
        },
        "batch": {"globalBatch": GLOBAL_BATCH, "microBatch": GLOBAL_BATCH // processes // 2, "accumulation": 2},
        "optimizer": {"learningRate": 0.003},
        "schedule": {"warmupSteps": 3},
        "lease": {
            "trainerEnd": {"seconds": 240.0},
            "supervisorEnd": {"seconds": 250.0},
            "budgetEnd": {} if tokens is None else {"tokens": tokens},
            "graceSeconds": 20.0,
            "startupSeconds": 60.0,
        },
        "checkpoint": {"uri": f"file://{home}/checkpoints", "intervalSeconds": 100000.0, "keep": 3},
        "evaluation": {"sequences": 8},
        "control": {"port": free_port(), "tokenFile": str(home / "token")},
        "outputUri": f"file://{home}/output",
        "pods": 1,
        "processesPerPod": processes,
    }
    (home / "token").write_text(TOKEN, encoding="utf-8")
    return RunConfig.model_validate(_merged(config, changes))


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in changes.items():
        out[key] = _merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


@dataclass
class Run:
    """One pod of one attempt, and what can be asked of it from outside. `ended` is its exit codes once all of it has left."""

    config: RunConfig
    home: Path
    log_path: Path
    pids: Callable[[], list[int]]
    """Of the ranks, in the order of the ranks."""
    ended: Callable[[], list[int] | None]
    signal: Callable[[int], None] = lambda _number: None
    """To the one process that was started."""
    started: float = field(default_factory=time.monotonic)

    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started

    @property
    def log(self) -> str:
        """Its last lines."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")[-6000:]

    def wait(self) -> list[int]:
        """Exit codes: of the supervisor, or of every rank where there is none."""
        return eventually(self.ended, lambda: self.log)

    def last_word(self) -> LastWord:
        return LastWord.model_validate_json((self.home / "last-word.json").read_bytes())

    def url(self, route: str) -> str:
        return f"http://127.0.0.1:{self.config.control.port}{route}"

    def get(self, route: str) -> str:
        with urllib.request.urlopen(self.url(route), timeout=5) as answer:
            return answer.read().decode()

    def progress(self) -> Progress | None:
        """None while the port does not answer yet."""
        try:
            return Progress.model_validate_json(self.get("/progress"))
        except (OSError, http.client.HTTPException):
            return None

    def post(self, route: str, body: dict[str, Any] | bytes, token: str = TOKEN) -> tuple[int, dict[str, Any]]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url(route), data, {"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def until(self, condition: Callable[[Progress], bool]) -> Progress:
        """The first progress that meets the condition; fails with the log where the run ends before."""

        def met() -> Progress | None:
            assert self.ended() is None, f"the run left with {self.ended()}\n{self.log}"
            progress = self.progress()
            return progress if progress is not None and condition(progress) else None

        return eventually(met, lambda: self.log)

    def until_step(self, step: int) -> Progress:
        return self.until(lambda progress: progress.step >= step)

    def manifests(self) -> list[Manifest]:
        return manifests(self.home)


def eventually(probe: Callable[[], T | None], explain: Callable[[], str], seconds: float = PATIENCE_SECONDS) -> T:
    """Ask until there is an answer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (answer := probe()) is not None:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"nothing in {seconds} s\n{explain()}")


def manifests(home: Path) -> list[Manifest]:
    """All checkpoints' manifests, oldest first."""
    paths = sorted((home / "checkpoints").glob(f"step-????????/{MANIFEST_NAME}"))
    return [Manifest.model_validate_json(path.read_bytes()) for path in paths]


def environment(home: Path, config_path: Path, **extra: str) -> dict[str, str]:
    return {
        **os.environ,
        ENV_RUN_CONFIG: str(config_path),
        ENV_TERMINATION_LOG: str(home / "last-word.json"),
        "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
        **extra,
    }


def save_config(home: Path, config: RunConfig) -> Path:
    path = home / f"{config.job.attempt}-{config.stage}.json"
    path.write_text(config.to_json(), encoding="utf-8")
    return path


@contextmanager
def supervised(home: Path, config: RunConfig, **extra: str) -> Iterator[Run]:
    """Start a pod as the kubelet would: the supervisor with its children. What is left of it at the end is killed."""
    with _spawned(home, config, [sys.executable, "-m", "farthing_trainer.supervisor"], extra) as run:
        yield run


@contextmanager
def from_shell(home: Path, config: RunConfig, *command: str, **extra: str) -> Iterator[Run]:
    """Start the trainer by a command of its own; `--config <path>` is appended."""
    with _spawned(home, config, [*command, "--config", str(save_config(home, config))], extra) as run:
        yield run


@contextmanager
def _spawned(home: Path, config: RunConfig, command: list[str], extra: dict[str, str]) -> Iterator[Run]:
    log_path = fresh_log(home, config)
    env = {**environment(home, save_config(home, config)), **extra}
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)

    def children() -> list[int]:
        text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8")
        return [int(pid) for pid in text.split()]

    def ended() -> list[int] | None:
        return None if process.poll() is None else [process.returncode]

    try:
        yield Run(config, home, log_path, children, ended, process.send_signal)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def ranks(
    home: Path,
    config: RunConfig,
    *,
    stop_at: int | None = None,
    hold: float | None = None,
    out_of_memory_at: int | None = None,
    inside: Sequence[Callable[[], None]] = (),
) -> Iterator[Run]:
    """Start the ranks of a pod without a supervisor, forked from a process that has imported torch already.

    `stop_at`: rank 0 behaves as if SIGTERM came while it made the step after this one. `hold`: seconds to hold after a stop.
    `out_of_memory_at`: the last rank's memory runs out in this step. `inside`: called in every rank before it starts, to put
    faults and witnesses into it (support/interrupts.py); they must be picklable.
    """
    log_path = fresh_log(home, config)
    world = config.processes_per_pod
    env = environment(home, save_config(home, config), GLOO_SOCKET_IFNAME="lo", MASTER_ADDR="127.0.0.1", WORLD_SIZE=str(world))
    env[ENV_STARTED] = str(Started.now())
    processes = [
        Forked(_rank, log_path, {**env, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stop_at, hold, out_of_memory_at, inside)
        for rank in range(world)
    ]

    def ended() -> list[int] | None:
        codes = [process.exit_code for process in processes]
        return None if None in codes else [code for code in codes if code is not None]

    try:
        yield Run(config, home, log_path, lambda: [process.pid for process in processes], ended)
    finally:
        for process in processes:
            process.end()


def _rank(
    log_path: Path,
    env: dict[str, str],
    stop_at: int | None,
    hold: float | None,
    out_of_memory_at: int | None,
    inside: Sequence[Callable[[], None]],
) -> None:
    """One rank: `python -m farthing_trainer`, in a process that was forked instead of started."""
    os.environ.clear()
    os.environ.update(env)
    with log_path.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    from farthing_trainer import loop

    sys.argv = ["farthing_trainer", "--config", env[ENV_RUN_CONFIG]]
    if stop_at is not None:
        StopAt.step = stop_at
        trainer_main.Termination = StopAt  # type: ignore[misc]
        trainer_main.RunState = StopAt.watching(trainer_main.RunState)  # type: ignore[misc]
    if hold is not None:
        loop.HOLD_AFTER_STOP_SECONDS = hold
    if out_of_memory_at is not None and int(env["RANK"]) == int(env["WORLD_SIZE"]) - 1:
        loop.Trainer._micro_batch = _without_memory(out_of_memory_at)
    for put in inside:
        put()
    sys.exit(trainer_main.main())


def _without_memory(step: int) -> Callable[[Any, int], Any]:
    """A micro-batch that finds no memory left in one step."""
    from farthing_trainer.loop import Trainer

    whole = Trainer._micro_batch

    def micro_batch(trainer: Any, micro: int) -> Any:
        if trainer.position.step == step - 1:
            raise MemoryError("no memory left")
        return whole(trainer, micro)

    return micro_batch


class StoreFileSystem(LocalFileSystem):
    """A folder as an object store: no path of the machine's, no renames. URIs are `store:///path`."""

    protocol = "store"

    def __init__(self, **settings: Any) -> None:
        super().__init__(auto_mkdir=True, **settings)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("store://"))


fsspec.register_implementation("store", StoreFileSystem, clobber=True)


class StopAt(Termination):
    """A termination that is requested once rank 0 has made a given step: an interrupt at an exact place."""

    step = 0
    made = 0

    @property  # type: ignore[override]
    def requested(self) -> bool:
        return StopAt.made >= StopAt.step

    @requested.setter
    def requested(self, _value: bool) -> None:
        """Real signals do not come in this fault."""

    @staticmethod
    def watching(kind: type) -> type:
        class Watched(kind):  # type: ignore[misc]
            def update(self, **changes: Any) -> None:
                super().update(**changes)
                StopAt.made = self.progress.step

        return Watched


def fresh_log(home: Path, config: RunConfig) -> Path:
    (home / "last-word.json").write_bytes(b"")
    path = home / f"{config.job.attempt}-{config.stage}.log"
    path.write_bytes(b"")
    return path


def train(home: Path, config: RunConfig, *, stop_at: int | None = None) -> Run:
    """Run all ranks to their end."""
    with ranks(home, config, stop_at=stop_at) as run:
        codes = run.wait()
    run.ended = lambda: codes
    return run


def landed(home: Path, config: RunConfig) -> Run:
    """Run all ranks to the landing."""
    run = train(home, config)
    assert set(run.wait()) == {0}, run.log
    return run


def checkpoint_tensors(folder: Path) -> dict[str, Any]:
    """Every tensor of a checkpoint, whole, by name."""
    import torch
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    out = folder.parent / f"{folder.name}.pt"
    dcp_to_torch_save(folder, out)
    return torch.load(out, weights_only=True)


@dataclass(frozen=True)
class Home:
    """A folder of one test, and the prepared data that its runs train on."""

    path: Path
    data: Path

    def config(self, **changes: Any) -> RunConfig:
        """A run below this folder on the prepared data; see `run_config`."""
        places = {"train": {"uri": f"file://{self.data}/corpus/*.txt"}, "preparedUri": f"file://{self.data}/prepared"}
        return run_config(self.path, **_merged({"data": places}, changes))


def prepared_home(home: Path) -> Path:
    """A folder with a corpus and its finished product."""
    write_corpus(home / "corpus")
    with supervised(home, run_config(home, stage="Prepare")) as run:
        assert run.wait() == [0], run.log
    return home


def next_attempt(config: RunConfig, **changes: Any) -> RunConfig:
    """The attempt after this one, of the same job."""
    number = config.job.attempt_number + 1
    job = {"attempt": re.sub(r"\d+$", str(number), config.job.attempt), "attemptNumber": number}
    document = json.loads(config.to_json())
    document["control"]["port"] = free_port()
    return RunConfig.model_validate(_merged(document, {"job": job, **changes}))


@dataclass
class Request:
    """Bodies of POST /checkpoint."""

    id: str = "r1"
    then: str = "Continue"
    extra: dict[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        return {"id": self.id, "reason": "Preempted", "then": self.then, "deadlineSeconds": 60.0, **self.extra}
