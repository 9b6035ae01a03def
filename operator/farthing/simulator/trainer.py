"""A trainer that trains nothing: it makes steps at a fixed speed, keeps its ends, and answers like the real one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from farthing.contract.checkpoint import checkpoint_folder
from farthing.contract.exit_codes import ExitCode
from farthing.contract.handshake import HOLD_AFTER_STOP_SECONDS, CheckpointAnswer, CheckpointRequest, LeaseUpdate
from farthing.contract.progress import CheckpointReport, LastWord, MemoryReport, Phase, Progress, SecondsByCause
from farthing.contract.runconfig import End, RunConfig
from farthing.units import format_time, parse_time


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the pods of a job behave; seconds, and tokens a second of one accelerator."""

    tokens_per_second: float = 2000.0
    startup: float = 5.0
    save: float = 1.0
    interval: float = 30.0
    prepare: float = 10.0
    prepared_tokens: int = 1_000_000
    flops_per_token: float = 6e6
    memory_needed: int = 0
    """Bytes that a pod must have; with less it is killed for memory."""
    exit_after: float | None = None
    """Crash this long after the start-up, with `exit_code`."""
    exit_code: int = 1
    obeys: bool = True
    """False: keeps no end and hears no request and no signal."""
    supervised: bool = True
    """False: the supervisor keeps no deadline either."""
    pulls: bool = True
    """False: its image can't be pulled."""
    answers: bool = True
    """False: its control port does not answer."""


@dataclass(frozen=True, slots=True)
class Durable:
    """The newest valid checkpoint of a job."""

    step: int = 0
    tokens: int = 0
    time: str = ""


class Trainer:
    """All ranks of one gang, seen as one: from the first container's start to its exit code."""

    def __init__(self, config: RunConfig, behaviour: Behaviour, started: datetime, durable: Durable) -> None:
        self.config = config
        self.behaviour = behaviour
        self.started = started
        self.resumed = durable
        self.durable = durable
        self.lease = config.lease
        self.trained = 0.0
        self.step = durable.step
        self.request: CheckpointRequest | None = None
        self.answer: CheckpointAnswer | None = None
        self.exit_code: int | None = None
        self.reason = ""
        self.saved = 0
        self._busy_until: datetime | None = None
        self._stop_at: datetime | None = None
        self._after_save: tuple[int, str] | None = None
        self._last = started

    @property
    def tokens(self) -> int:
        """Tokens of the lineage."""
        return self.resumed.tokens + (self.step - self.resumed.step) * self.config.tokens_per_step

    @property
    def flops(self) -> float:
        """Executed by this attempt."""
        return (self.tokens - self.resumed.tokens) * self.behaviour.flops_per_token

    def tick(self, now: datetime, memory_limit: int) -> None:
        """Live until `now`."""
        elapsed, self._last = (now - self._last).total_seconds(), now
        if self.exit_code is not None or (now - self.started).total_seconds() < self.behaviour.startup:
            return
        if memory_limit < self.behaviour.memory_needed:
            self._exit(ExitCode.OUT_OF_MEMORY, "OutOfMemory")
        elif self.config.stage == "Prepare":
            self._prepare(now)
        elif self._busy_until is None or now >= self._busy_until:
            self._train(now, elapsed)

    def ask(self, request: CheckpointRequest, now: datetime) -> CheckpointAnswer:
        """POST /checkpoint."""
        if self.answer is None or self.answer.id != request.id:
            self.request = request
            self.answer = CheckpointAnswer(id=request.id, state="Accepted", then=request.then)
            self._save(now)
        return self.answer

    def move(self, update: LeaseUpdate) -> None:
        """POST /lease."""
        changes = {"trainer_end": update.trainer_end, "budget_end": update.budget_end}
        self.lease = self.lease.model_copy(update={key: end for key, end in changes.items() if end is not None})

    def terminate(self, now: datetime) -> None:
        """SIGTERM: the same handshake, then out."""
        if not self.behaviour.obeys or self.exit_code is not None or self._after_save is not None:
            return
        if (now - self.started).total_seconds() < self.behaviour.startup:
            self._exit(ExitCode.TRY_AGAIN, "Terminated")
        elif self._stop_at is not None:
            self._exit(ExitCode.STOPPED, "StoppedOnRequest")
        else:
            self._save(now, then=(ExitCode.STOPPED, "StoppedOnRequest"))

    def kill(self, code: int) -> None:
        """SIGKILL."""
        if self.exit_code is None:
            self._exit(code, "")

    def progress(self) -> Progress:
        """GET /progress."""
        durable = self.durable if self.durable.step else None
        prepared = self.config.stage == "Prepare" and self.exit_code == ExitCode.LANDED
        return Progress(
            attempt=self.config.job.attempt,
            stage=self.config.stage,
            phase=self._phase(),
            started=format_time(self.started),
            step=self.step,
            first_step=self.resumed.step + 1,
            resumed_from=self.resumed.step or None,
            tokens=self.tokens,
            tokens_processed=self.tokens - self.resumed.tokens,
            flops=self.flops,
            loss=5.0 if self.step else None,
            tokens_per_second=self._speed() if self.step else None,
            memory=MemoryReport(allocated=2**30, peak=2**30),
            seconds=SecondsByCause(startup=self.behaviour.startup, train=self.trained),
            checkpoint=None if durable is None else self._report(durable),
            answer=self.answer,
            prepared_tokens=self.behaviour.prepared_tokens if prepared else None,
            prepared_digest="sha256:prepared" if prepared else None,
        )

    def last_word(self) -> LastWord | None:
        """The termination message; killed processes leave none."""
        if self.exit_code is None or not self.reason:
            return None
        return LastWord(exit_code=self.exit_code, reason=self.reason, progress=self.progress())

    def _prepare(self, now: datetime) -> None:
        if (now - self.started).total_seconds() >= self.behaviour.startup + self.behaviour.prepare:
            self._exit(ExitCode.LANDED, "Prepared")

    def _train(self, now: datetime, elapsed: float) -> None:
        if self._busy_until is not None and self._finish_save(now):
            return
        if self._stop_at is not None:
            if self.behaviour.obeys and now >= self._stop_at:
                self._exit(ExitCode.STOPPED, "StoppedOnRequest")
            return
        self.trained += elapsed
        crash = self.behaviour.exit_after
        if crash is not None and self.trained >= crash:
            self._exit(self.behaviour.exit_code, "Crashed")
            return
        self._advance(now)

    def _advance(self, now: datetime) -> None:
        """Make the steps that fit; save when it is time, land or leave where an end is near."""
        made = int(self.trained * self._speed() / self.config.tokens_per_step)
        self.step = min(self.resumed.step + made, self._step_limit())
        if self.behaviour.obeys and (then := self._last_save(now)) is not None:
            self._save(now, then)
        elif self._steps_since_save() * self.config.tokens_per_step / self._speed() >= self.behaviour.interval:
            self._save(now)

    def _last_save(self, now: datetime) -> tuple[int, str] | None:
        """How to leave after the save that must begin now, where an end is near."""
        left = self.behaviour.save + 1.0
        if self.config.on_exhausted == "CheckpointAndStop":
            return self._last_stop(now, left)
        if self.step >= self._step_limit() or self._seconds_to(self.lease.budget_end, now) <= left:
            return ExitCode.LANDED, "Landed"
        return (ExitCode.STOPPED, "LeaseEnded") if self._seconds_to(self.lease.trainer_end, now) <= left else None

    def _last_stop(self, now: datetime, left: float) -> tuple[int, str] | None:
        """Without a landing: at the stable rate to the end, and out with a checkpoint."""
        if self.step >= self._step_limit() or self._seconds_to(self.lease.budget_end, now) <= left:
            return ExitCode.STOPPED, "BudgetEnded"
        return (ExitCode.STOPPED, "LeaseEnded") if self._seconds_to(self.lease.trainer_end, now) <= left else None

    def _save(self, now: datetime, then: tuple[int, str] | None = None) -> None:
        if self._busy_until is None:
            self._busy_until = now + timedelta(seconds=self.behaviour.save)
        self._after_save = then or self._after_save

    def _finish_save(self, now: datetime) -> bool:
        """The manifest stands; True where the process leaves with it."""
        self._busy_until = None
        self.durable = Durable(self.step, self.tokens, format_time(now))
        self.saved += 1
        if self.answer is not None and self.answer.state == "Accepted":
            self.answer = self.answer.model_copy(
                update={"state": "Acknowledged", "step": self.step, "digest": f"sha256:{self.step}"}
            )
            if self.answer.then == "Stop":
                self._stop_at = now + timedelta(seconds=HOLD_AFTER_STOP_SECONDS)
        if self._after_save is not None:
            self._exit(*self._after_save)
            return True
        return False

    def _exit(self, code: int, reason: str) -> None:
        self.exit_code, self.reason = int(code), reason

    def _speed(self) -> float:
        return self.behaviour.tokens_per_second * self.config.world_size

    def _steps_since_save(self) -> int:
        return self.step - max(self.durable.step, self.resumed.step)

    def _step_limit(self) -> int:
        """The last step that tokens and FLOPs allow; far away where neither binds or nobody counts."""
        if not self.behaviour.obeys:
            return 10**12
        end, per_step = self.lease.budget_end, self.config.tokens_per_step
        by_tokens = inf if end.tokens is None else end.tokens // per_step
        by_flops = inf if end.flops is None else self.resumed.step + end.flops // (per_step * self.behaviour.flops_per_token)
        return int(min(by_tokens, by_flops, 10**12))

    def _seconds_to(self, end: End, now: datetime) -> float:
        left = inf if end.seconds is None else end.seconds - (now - self.started).total_seconds()
        return left if end.not_after is None else min(left, (parse_time(end.not_after) - now).total_seconds())

    def _phase(self) -> Phase:
        if self.exit_code is not None:
            return "Finished"
        if (self._last - self.started).total_seconds() < self.behaviour.startup:
            return "Starting"
        if self.config.stage == "Prepare":
            return "Preparing"
        return "Holding" if self._stop_at is not None else "Training"

    def _report(self, durable: Durable) -> CheckpointReport:
        return CheckpointReport(
            step=durable.step,
            tokens=durable.tokens,
            uri=f"{self.config.checkpoint.uri}/{checkpoint_folder(durable.step)}",
            digest=f"sha256:{durable.step}",
            time=durable.time,
            seconds=self.behaviour.save,
            bytes=2**20,
        )
