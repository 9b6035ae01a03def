"""How much memory runs of the real trainer use, beside what the planner predicts of them.

Every figure is of a fresh process: the peak of its resident set as the kernel counts it, the peak of torch's own allocator (in
a run of its own, see memory_witness.py), and, where a cgroup can be made below one's own, what the kernel charged to the pod.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.memory_witness import FOLDER, watch_tensors
from tests.support.trainer import Home, environment, eventually, ranks, save_config

from farthing.api.amounts import Axis
from farthing.api.job import LoraSpec, StrategySpec
from farthing.catalog import accelerator
from farthing.contract.progress import LastWord
from farthing.contract.runconfig import RunConfig
from farthing.contract.shape import ModelShape, shape_from_config
from farthing.domain.plan import Plan
from farthing.domain.planning import PlanRequest, PoolOffer
from farthing.planner import plan
from farthing.planner.request import lora_parameters
from farthing.units import GIB
from farthing_trainer.place import Started
from farthing_trainer.supervisor import child_environment

ROOT = Path(__file__).parents[2]
MOUNT = Path("/sys/fs/cgroup")
WITNESS = (sys.executable, "-m", "tests.support.memory_witness")
ENTER = 'echo $$ > "$0"; exec "$@"'
"""For sh: join the cgroup whose list of processes is $0, and become the command."""
PATIENCE_SECONDS = 900.0
POLL_SECONDS = 0.02
STEPS = 3
STEPS_WATCHED = 2
"""Of torch's allocator: the second step repeats what the first held."""


@dataclass(frozen=True)
class Setting:
    """One configuration. Widths and layers as in a Hugging Face config; `rank` > 0: LoRA on the attention's matrices."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    vocabulary: int
    tied: bool
    sequence: int
    micro_batch: int
    accumulation: int = 1
    processes: int = 1
    sharding: str = "None"
    grouping: str = "Root"
    checkpointing: str = "None"
    rank: int = 0

    @property
    def model(self) -> dict[str, Any]:
        """Its config.json."""
        return {
            "model_type": "llama",
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "intermediate_size": self.ffn,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": self.tied,
            "bos_token_id": None,
            "eos_token_id": 0,
        }

    @property
    def shape(self) -> ModelShape:
        """What the planner knows of the model."""
        return shape_from_config(self.model)

    @property
    def global_batch(self) -> int:
        """Sequences of one step."""
        return self.processes * self.micro_batch * self.accumulation

    @property
    def strategy(self) -> dict[str, Any]:
        """As the run config has it."""
        layout = {"sharding": self.sharding, "grouping": self.grouping}
        return {**layout, "activationCheckpointing": self.checkpointing, "precision": "float32"}

    @property
    def base(self) -> "Setting":
        """The full training of the same model, whose output adapters are trained on."""
        return replace(self, name=f"{self.name}-base", rank=0, processes=1, sharding="None", micro_batch=1, sequence=64)

    def run_config(self, home: Home, pretrained: Path | None = None, steps: int = STEPS) -> RunConfig:
        """A run of a few steps below `home`."""
        model: dict[str, Any] = {"config": self.model}
        if pretrained is not None:
            model = {"config": None, "pretrainedUri": f"file://{pretrained}", "adapter": "LoRA", "lora": {"rank": self.rank}}
        batch = {"globalBatch": self.global_batch, "microBatch": self.micro_batch, "accumulation": self.accumulation}
        lease = {"trainerEnd": {"seconds": 1e6}, "supervisorEnd": {"seconds": 1e6}, "startupSeconds": 600.0}
        return home.config(
            processes=self.processes,
            tokens=steps * self.global_batch * self.sequence,
            model=model,
            data={"sequenceLength": self.sequence},
            batch=batch,
            lease=lease,
            evaluation={"sequences": self.global_batch},
            strategy=self.strategy,
        )


def predicted(setting: Setting) -> Plan:
    """The planner's own plan of exactly this setting on one CPU machine: memory of a process, and request of the pod."""
    adapters = lora_parameters(setting.shape, LoraSpec(rank=setting.rank)) if setting.rank else 0
    offer = PoolOffer(
        name="machine",
        accelerator=accelerator("cpu-slot"),
        accelerators_per_node=setting.processes,
        accelerators=setting.processes,
        price_per_accelerator_hour=None,
        currency=None,
        spot=False,
        memory_bytes=1024 * GIB,
        measured_flops_per_second=4.0e10,
    )
    request = PlanRequest(
        shape=setting.shape,
        adapter="LoRA" if adapters else "None",
        adapter_parameters=adapters,
        pretrained=bool(adapters),
        sequence_length=setting.sequence,
        global_batch=setting.global_batch,
        pools=(offer,),
        min_accelerators=setting.processes,
        max_accelerators=setting.processes,
        fixed=StrategySpec.model_validate({**setting.strategy, "microBatchSize": setting.micro_batch}),
        remaining={Axis.TOKENS: Decimal(STEPS * setting.global_batch * setting.sequence)},
        seconds_left=None,
    )
    (only,) = plan(request).plans
    return only


@dataclass(frozen=True)
class Measured:
    """Bytes of the process that used most; `pod` is of all its processes together."""

    resident: int
    """Peak of the resident set."""
    baseline: int
    """As the trainer reports it: the resident set before the model exists."""
    tensors: dict[str, int] = field(default_factory=dict)
    """Peak of torch's allocator by phase; empty where it was not asked."""
    pod: "Cgroup | None" = None
    landed_under_limit: bool | None = None
    """None where there was no limit, or no cgroup to set it in."""


def measure(setting: Setting, home: Home, *, tensors: bool = False, limit: int | None = None) -> Measured:
    """Run it as it is, and, where `tensors`, again with torch's allocator watched.

    `limit`: bytes that its processes together may use, where a cgroup can be made; what does not land is measured without.
    """
    pretrained = base_model(setting, home) if setting.rank else None
    codes, found, pod = _run(setting, _fresh(home, "plain"), pretrained, limit)
    landed = set(codes) == {0}
    if not landed:
        assert pod is not None, _log(home.path / "plain")
        codes, found, _ = _run(setting, _fresh(home, "unlimited"), pretrained, None)
        assert set(codes) == {0}, _log(home.path / "unlimited")
    word = LastWord.model_validate_json((home.path / ("plain" if landed else "unlimited") / "last-word.json").read_bytes())
    assert word.progress is not None
    assert word.progress.memory is not None
    return Measured(
        resident=max(each["VmHWM"] for each in found),
        baseline=word.progress.memory.baseline or 0,
        tensors=_tensors(setting, home, pretrained) if tensors else {},
        pod=pod,
        landed_under_limit=None if pod is None else landed,
    )


def _tensors(setting: Setting, home: Home, pretrained: Path | None) -> dict[str, int]:
    """Peaks of torch's allocator by phase, of the rank that held most: the same in a process that was forked."""
    below = _fresh(home, "tensors")
    with ranks(
        below.path, setting.run_config(below, pretrained, STEPS_WATCHED), inside=[partial(watch_tensors, below.path)]
    ) as run:
        assert set(eventually(run.ended, lambda: run.log, PATIENCE_SECONDS)) == {0}, run.log
    return max(_figures("tensors", below, setting), key=lambda peaks: max(peaks.values()))


def _figures(what: str, home: Home, setting: Setting) -> list[dict[str, int]]:
    """What each rank wrote down."""
    return [json.loads((home.path / f"{what}-{rank}.json").read_bytes()) for rank in range(setting.processes)]


def _log(folder: Path) -> str:
    return (folder / "log").read_text(encoding="utf-8", errors="replace")[-6000:]


def base_model(setting: Setting, home: Home) -> Path:
    """A folder with a model of this shape, made by one step of the trainer."""
    below = _fresh(home, "base")
    config = setting.base.run_config(below, steps=1)
    assert _codes(below, config, None) == [0], _log(below.path)
    return below.path / "output"


def _fresh(home: Home, name: str) -> Home:
    (home.path / name).mkdir(parents=True)
    return Home(home.path / name, home.data)


def _run(
    setting: Setting, home: Home, pretrained: Path | None, limit: int | None
) -> "tuple[list[int], list[dict[str, int]], Cgroup | None]":
    """One run: exit codes, what each rank wrote down (nothing where one failed), and its cgroup where there was one."""
    config = setting.run_config(home, pretrained)
    with nullcontext() if limit is None else cgroup(limit) as pod:
        codes = _codes(home, config, pod)
    return codes, _figures("resident", home, setting) if set(codes) == {0} else [], pod


def _codes(home: Home, config: RunConfig, pod: "Cgroup | None") -> list[int]:
    """Start every rank as a pod's supervisor does, in the cgroup; exit codes once all have left, or one has failed."""
    path, started = save_config(home.path, config), Started.now()
    document = json.loads(config.to_json())
    common = {**environment(home.path, path), FOLDER: str(home.path), "PYTHONPATH": str(ROOT)}
    entered = [] if pod is None else ["sh", "-c", ENTER, str(pod.processes)]
    command = [*entered, *WITNESS, "--config", str(path)]
    with (home.path / "log").open("wb") as log, ExitStack() as stack:
        running = []
        for rank in range(config.processes_per_pod):
            env = {**child_environment(document, rank, started), **common}
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=ROOT, start_new_session=True)
            stack.callback(_end, process)
            running.append(process)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while None in (codes := [each.poll() for each in running]) and not any(codes) and time.monotonic() < deadline:
            if pod is not None:
                pod.look()
            time.sleep(POLL_SECONDS)
        return [-1 if code is None else code for code in codes]


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@dataclass
class Cgroup:
    """A memory cgroup of this machine, of version 1 or 2, and the most that was seen in it."""

    folder: Path
    version: int
    anonymous: int = 0
    """Bytes that belong to no file, the most that was seen, 50 times a second."""
    peak: int = 0
    """Bytes charged at most, the page cache of files included: under a limit the kernel drops that first."""
    limit_hits: int = 0

    @property
    def processes(self) -> Path:
        """The list of its processes."""
        return self.folder / "cgroup.procs"

    def limit_to(self, size: int) -> None:
        """Give it a limit in bytes."""
        name = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
        (self.folder / name).write_text(str(size), encoding="utf-8")

    def look(self) -> None:
        """Note what it holds now."""
        name = "rss" if self.version == 1 else "anon"
        self.anonymous = max(self.anonymous, self._stat().get(name, 0))

    def close(self) -> None:
        """Note the kernel's own counts."""
        peak, hits = ("memory.max_usage_in_bytes", "memory.failcnt") if self.version == 1 else ("memory.peak", None)
        self.peak = int((self.folder / peak).read_text(encoding="utf-8"))
        self.limit_hits = int((self.folder / hits).read_text(encoding="utf-8")) if hits else self._events()

    def _stat(self) -> dict[str, int]:
        lines = (self.folder / "memory.stat").read_text(encoding="utf-8").splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}

    def _events(self) -> int:
        lines = (self.folder / "memory.events").read_text(encoding="utf-8").splitlines()
        return int(dict(line.split() for line in lines)["max"])


@contextmanager
def cgroup(limit: int) -> Iterator[Cgroup | None]:
    """A cgroup with a memory limit in bytes below this process's own, removed at the end; None where none can be made."""
    try:
        made = _make()
    except OSError:
        yield None
        return
    try:
        made.limit_to(limit)
        yield made
        made.close()
    finally:
        _remove(made.folder)


def _make() -> Cgroup:
    lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    own = {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}
    version = 1 if "memory" in own else 2
    parent = MOUNT / "memory" / own["memory"].lstrip("/") if version == 1 else MOUNT / own[""].lstrip("/")
    folder = parent / f"farthing-footprint-{os.getpid()}"
    folder.mkdir()
    if not (folder / "memory.stat").exists():
        folder.rmdir()
        raise OSError(f"{parent} hands no memory controller down")
    return Cgroup(folder, version)


def _remove(folder: Path) -> None:
    """The kernel may hold it for a moment after its last process."""
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        try:
            folder.rmdir()
        except OSError:
            time.sleep(POLL_SECONDS)
        else:
            return
    raise OSError(f"cgroup {folder} is still in use")
