"""The training loop: make a step, agree, report, save when asked, land when the budget ends."""

import logging
import time
from dataclasses import dataclass, field

import torch

from farthing.contract.checkpoint import Landing, Manifest
from farthing.contract.exit_codes import ExitCode
from farthing.contract.handshake import HOLD_AFTER_STOP_SECONDS, CheckpointAnswer
from farthing.contract.progress import CheckpointReport, Phase
from farthing.contract.runconfig import RunConfig
from farthing_trainer.agreement import Verdict, Voice, agree
from farthing_trainer.checkpoint import Checkpoints, Saved, created_now
from farthing_trainer.counting import Counter
from farthing_trainer.data import BatchPlan, Sequences, sequence_of
from farthing_trainer.errors import Leave
from farthing_trainer.evaluate import evaluate
from farthing_trainer.gang import Gang
from farthing_trainer.governor import Governor, Wish
from farthing_trainer.heartbeat import HeartbeatFile
from farthing_trainer.memory import is_out_of_memory, memory_usage
from farthing_trainer.model import Model
from farthing_trainer.optim import Optimizer
from farthing_trainer.output import write_output
from farthing_trainer.prepared import Product
from farthing_trainer.pulse import Pulse
from farthing_trainer.schedule import learning_rate
from farthing_trainer.signals import Termination
from farthing_trainer.state import RunState
from farthing_trainer.storage import Folder
from farthing_trainer.weights import number_from

RETRY_SECONDS = 2.0
"""A stop whose checkpoint failed is tried again this much later; training goes on in between."""

log = logging.getLogger(__name__)


@dataclass
class Position:
    """Where the run stands: everything that a resumed run must know beside the tensors."""

    step: int = 0
    landing: Landing | None = None
    flops_before: float = 0.0
    """Executed by earlier attempts, as far as this lineage knows."""


@dataclass
class Trainer:
    """One rank's part of a training run. All ranks run the same code; rank 0 also decides and reports."""

    config: RunConfig
    gang: Gang
    model: Model
    optimizer: Optimizer
    corpus: Sequences
    held_out: Sequences
    product: Product
    product_folder: Folder
    checkpoints: Checkpoints
    heartbeat: HeartbeatFile
    governor: Governor
    counter: Counter
    state: RunState
    termination: Termination
    position: Position
    signature: dict[str, object]
    pulse: Pulse = field(default_factory=Pulse.from_environment)
    last_report: CheckpointReport | None = None
    _retry_at: float = 0.0
    _stop_reason: str = ""

    def run(self) -> None:
        """Train until the schedule ends, then land. Raises Leave where the run ends before that."""
        self.termination.stands()
        while not self._finished:
            with self.pulse.over_a_step(self.position.step + 1, self.governor.speed):
                verdict = self._make_step()
            self._save_if_asked(verdict)
            self._evaluate_if_due()
        self._land()

    @property
    def _finished(self) -> bool:
        landing = self.position.landing
        return landing is not None and self.position.step >= landing.last_step

    def _make_step(self) -> Verdict:
        started = time.monotonic()
        step = self.position.step + 1
        rate = learning_rate(step, self.config.optimizer.learning_rate, self.config.schedule, self.position.landing)
        loss_sum, tokens, out_of_memory = self._gradients()
        verdict = agree(self.gang, self._voice(step, loss_sum, tokens, out_of_memory))
        if verdict.out_of_memory:
            raise Leave(ExitCode.OUT_OF_MEMORY, "OutOfMemory", f"a rank ran out of memory in step {step}")
        norm = self._gradient_norm(verdict)
        self.optimizer.step(rate, norm)
        self.position.step = step
        self.position.landing = verdict.landing or self.position.landing
        self._report_step(verdict, rate, norm, time.monotonic() - started)
        return verdict

    def _gradients(self) -> tuple[float, int, bool]:
        """Forward and backward of this rank's share. Returns its summed loss, its tokens, and whether memory ran out."""
        try:
            losses = [self._micro_batch(micro) for micro in range(self.config.batch.accumulation)]
        except (MemoryError, RuntimeError) as error:
            if self.model.is_sharded or not is_out_of_memory(error):
                raise  # inside FSDP's collectives the others cannot be told: this rank leaves, the supervisor ends them
            self.optimizer.drop_gradients()
            return 0.0, 0, True
        tokens = self.config.batch.micro_batch * self.corpus.length
        return float(torch.stack(losses).sum()) * tokens, len(losses) * tokens, False

    def _micro_batch(self, micro: int) -> torch.Tensor:
        batch = self.config.batch
        plan = BatchPlan(self.gang.world, batch.micro_batch, batch.accumulation)
        samples = plan.samples(self.position.step, self.gang.rank, micro)
        arrays = self.corpus.batch(sequence_of(samples, len(self.corpus), self.config.data.seed))
        inputs, targets = (torch.from_numpy(array).to(self.gang.device, non_blocking=True) for array in arrays)
        self._prepare_micro_batch(micro)
        loss: torch.Tensor = self.model(inputs, targets)
        (loss / batch.accumulation).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _prepare_micro_batch(self, micro: int) -> None:
        """Only the last micro-batch reduces gradients; random numbers derive from where in the run they are drawn."""
        if self.model.is_sharded:
            self.model.set_requires_gradient_sync(micro == self.config.batch.accumulation - 1)  # type: ignore[operator]
        if self.config.model.adapter == "LoRA" and self.config.model.lora.dropout > 0:
            torch.manual_seed(number_from(self.config.data.seed, self.position.step, micro, self.gang.rank))

    def _voice(self, step: int, loss_sum: float, tokens: int, out_of_memory: bool) -> Voice:
        wish = Wish()
        if self.gang.is_first:
            wish = self.governor.judge(step, self.counter.flops + self.counter.step_flops, self.position.landing)
            self._stop_reason = wish.stop
        request = self.state.request_in_time()
        may_stop = time.monotonic() >= self._retry_at
        usage = memory_usage(self.gang.device)
        return Voice(
            loss_sum=loss_sum,
            tokens=tokens,
            squared_norm=self.optimizer.squared_norm() if self.model.is_sharded and not out_of_memory else 0.0,
            stop=may_stop and (self.termination.requested or bool(wish.stop)),
            checkpoint=wish.checkpoint or request is not None,
            out_of_memory=out_of_memory,
            landing=wish.landing,
            memory=(usage.allocated, usage.peak),
        )

    def _gradient_norm(self, verdict: Verdict) -> float:
        if not self.model.is_sharded:
            self.optimizer.reduce_gradients()
            return float(self.optimizer.squared_norm() ** 0.5)
        return float(verdict.squared_norm**0.5)

    def _report_step(self, verdict: Verdict, rate: float, norm: float, seconds: float) -> None:
        self.governor.speed.add(seconds)
        if not self.gang.is_first:
            return
        self.heartbeat.beat(self.position.step)
        to_go = self.governor.steps_to_go(self.position.step, self.counter.flops, self.position.landing)
        self.counter.count_step(self.position.step, seconds, self.governor.speed, verdict, rate, norm, self.position.landing)
        self.counter.count_ahead(self.position.step, to_go, self.governor.speed)
        if verdict.landing is not None:
            log.info(
                "landing v%d: steps %d to %d", verdict.landing.version, verdict.landing.first_step, verdict.landing.last_step
            )

    @property
    def _before_the_landing(self) -> bool:
        landing = self.position.landing
        return landing is not None and landing.version == 1 and self.position.step == landing.first_step - 1 > 0

    def _save_if_asked(self, verdict: Verdict) -> None:
        if not (verdict.stop or verdict.checkpoint or self._before_the_landing):
            return
        saved = self._save()
        if self.gang.from_first(self._leaves(verdict, saved)) == "hold":
            self._hold()
        if verdict.stop and saved.report is not None:
            reason = self.gang.from_first(self._stop_reason) or "Terminated"
            raise Leave(ExitCode.STOPPED, reason, f"checkpoint of step {self.position.step} is durable")
        if verdict.stop:
            self._retry_at = time.monotonic() + RETRY_SECONDS

    def _leaves(self, verdict: Verdict, saved: Saved) -> str:
        """Rank 0: answer the open request; `hold` where it asked to stop and the checkpoint stands."""
        request = self.state.open_request()
        if request is None:
            return ""
        if saved.report is None:
            failed = CheckpointAnswer(id=request.id, state="Failed", then=request.then, message=saved.error[:512])
            self.state.answer(failed)
            return ""
        self.state.answer(self._acknowledgement(saved.report) or CheckpointAnswer(id=request.id, state="Failed"))
        return "hold" if request.then == "Stop" and not verdict.stop else ""

    def _acknowledgement(self, report: CheckpointReport | None) -> CheckpointAnswer | None:
        """What the open request is told once the checkpoint stands; the manifest holds the same but for its own digest."""
        request = self.state.open_request()
        if request is None:
            return None
        digest = None if report is None else report.digest
        return CheckpointAnswer(id=request.id, state="Acknowledged", then=request.then, step=self.position.step, digest=digest)

    def _hold(self) -> None:
        """Stay until the end comes or the time is up, then leave: an operator that dies in between changes nothing."""
        self._enter("Holding")
        self.termination.wait(HOLD_AFTER_STOP_SECONDS)
        raise Leave(ExitCode.STOPPED, "StoppedOnRequest", f"checkpoint of step {self.position.step} is acknowledged")

    def _save(self) -> Saved:
        """Make the current step durable; one that is already is not written again."""
        if self.last_report is not None and self.last_report.step == self.position.step:
            return Saved(self.last_report)
        self._enter("Checkpointing")
        started = time.monotonic()
        saved = self.checkpoints.save(self.tensors(), self._manifest())
        seconds = time.monotonic() - started
        self.governor.checkpoint_took(seconds)
        self.state.spend("checkpoint", seconds)
        self._note(saved)
        self._enter("Landing" if self._is_landing else "Training")
        return saved

    def _note(self, saved: Saved) -> None:
        if saved.report is None:
            log.error("the checkpoint of step %d failed, training goes on: %s", self.position.step, saved.error)
            return
        self.last_report = saved.report
        self.state.add_checkpoint(saved.report)
        if self.gang.is_first:
            self.heartbeat.beat(self.position.step, now=True)
            self.counter.count_checkpoint(saved.report)
            log.info("checkpoint of step %d: %s in %.2f s", saved.report.step, saved.report.digest[:12], saved.report.seconds)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a checkpoint holds: trained parameters and the optimizer's state, by name, live."""
        parameters = {f"model.{name}": p.detach() for name, p in self.model.trainable().items()}
        return parameters | {f"optimizer.{name}": value for name, value in self.optimizer.state().items()}

    def _manifest(self) -> Manifest:
        position = self.position
        return Manifest(
            job_uid=self.config.job.uid,
            attempt=self.config.job.attempt,
            step=position.step,
            tokens=position.step * self.config.tokens_per_step,
            next_sample=position.step * self.config.batch.global_batch,
            seed=self.config.data.seed,
            signature=self.signature,
            landing=position.landing,
            trunk=self._before_the_landing,
            data_digest=self.product.digest,
            tokenizer_digest=self.product.tokenizer_digest,
            flops=position.flops_before + self.counter.flops,
            duration_seconds=0.0,
            created=created_now(),
            answer=self._acknowledgement(None),
            files=(),
        )

    @property
    def _is_landing(self) -> bool:
        landing = self.position.landing
        return landing is not None and self.position.step >= landing.first_step - 1

    def _enter(self, phase: Phase) -> None:
        self.state.update(phase=phase)

    def _evaluate_if_due(self) -> None:
        interval = self.config.evaluation.interval_steps
        if interval is not None and self.position.step % interval == 0 and not self._finished:
            self._evaluate()

    def _evaluate(self) -> None:
        self._enter("Evaluating")
        started = time.monotonic()
        per_token = self.product.validation_bytes_per_token
        result = evaluate(
            self.model, self.held_out, self.config.evaluation.sequences, self.config.batch.micro_batch, per_token, self.gang
        )
        seconds = time.monotonic() - started
        self.governor.durations.evaluation = seconds
        self.counter.count_evaluation(result, seconds)
        self._enter("Landing" if self._is_landing else "Training")

    def _land(self) -> None:
        """The schedule has ended: a last checkpoint, the validation loss, the output."""
        saved = self._save()
        self._leaves(Verdict(0.0, 0.0, False, False, False, None, (0, 0)), saved)
        self._evaluate()
        lora = self.config.model.lora if self.config.model.adapter == "LoRA" else None
        write_output(self.config.output_uri, self.model, lora, self.product_folder, self.gang)
        self._enter("Finished")
