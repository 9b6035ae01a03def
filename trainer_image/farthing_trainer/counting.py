"""Rank 0's numbers: progress and metrics, counted in one place so that they agree. No torch."""

import math

from farthing.contract.checkpoint import Landing
from farthing.contract.flops import executed_flops_per_token, forward_flops_per_token, model_flops_per_token
from farthing.contract.progress import CheckpointReport, MemoryReport
from farthing.contract.runconfig import RunConfig
from farthing.contract.shape import ModelShape
from farthing_trainer.agreement import Verdict
from farthing_trainer.evaluate import Evaluation
from farthing_trainer.metrics import Metrics
from farthing_trainer.place import Started
from farthing_trainer.speed import Speed
from farthing_trainer.state import RunState


class Counter:
    """Counts what this attempt executes. `flops` is what the hardware did: recomputation and evaluation included."""

    def __init__(self, config: RunConfig, shape: ModelShape, started: Started, state: RunState, metrics: Metrics) -> None:
        strategy, length = config.strategy, config.data.sequence_length
        per_token = executed_flops_per_token(shape, length, strategy.activation_checkpointing, config.model.adapter)
        self._config = config
        self._started = started
        self._state = state
        self._metrics = metrics
        self._forward_per_token = forward_flops_per_token(shape, length)
        self._useful_per_token = model_flops_per_token(shape, length, config.model.adapter)
        self._tokens = 0
        self._replay_until = 0
        self._memory: tuple[int | None, int | None] = (None, None)
        self.step_flops = per_token * config.tokens_per_step
        self.flops = 0.0

    def start(self, step: int, earlier_step: int, baseline: int, limit: int | None) -> None:
        """Training begins after `step`; an earlier attempt had reached `earlier_step`. Memory in bytes."""
        lost = max(0, earlier_step - step)
        self._replay_until = earlier_step
        self._memory = (baseline, limit)
        self._metrics.add("lost_steps_total", lost)
        self._metrics.set("memory_limit_bytes", limit)
        self._state.spend("startup", self._started.elapsed())
        self._state.update(
            phase="Training",
            step=step,
            tokens=step * self._config.tokens_per_step,
            first_step=step + 1,
            resumed_from=step or None,
            lost_steps=lost,
        )

    def count_step(
        self, step: int, seconds: float, speed: Speed, verdict: Verdict, rate: float, norm: float, landing: Landing | None
    ) -> None:
        """One more optimizer step."""
        tokens = self._config.tokens_per_step
        self.flops += self.step_flops
        self._tokens += tokens
        self._state.spend("replay" if step <= self._replay_until else "train", seconds)
        per_second = tokens / speed.mean
        self._state.update(
            phase="Landing" if landing is not None and step >= landing.first_step else "Training",
            step=step,
            tokens=step * tokens,
            tokens_processed=self._tokens,
            flops=self.flops,
            loss=verdict.loss,
            learning_rate=rate,
            tokens_per_second=per_second,
            step_seconds=speed.mean,
            mfu=self._mfu(per_second),
            goodput=self._goodput(),
            memory=self._memory_report(verdict),
            landing=landing,
        )
        self._expose(seconds, verdict, rate, norm)

    def count_ahead(self, step: int, steps_to_go: float, speed: Speed) -> None:
        """When the run is expected to end, as seen now."""
        if math.isinf(steps_to_go):
            return
        self._state.update(last_step=step + int(steps_to_go), eta_seconds=steps_to_go * speed.mean)

    def count_evaluation(self, result: Evaluation, seconds: float) -> None:
        """One validation pass: it is executed work and bought with the budget."""
        self.flops += self._forward_per_token * result.tokens
        self._metrics.add("flops_total", self._forward_per_token * result.tokens)
        self._metrics.set("validation_loss", result.loss)
        self._state.spend("evaluation", seconds)
        self._state.update(validation_loss=result.loss, validation_bits_per_byte=result.bits_per_byte, flops=self.flops)

    def count_checkpoint(self, report: CheckpointReport) -> None:
        """One more durable checkpoint."""
        self._metrics.observe("checkpoint_duration_seconds", report.seconds)
        self._metrics.set("checkpoint_bytes", report.bytes)

    def _mfu(self, tokens_per_second: float) -> float | None:
        peak = self._config.peak_flops_per_second
        return None if peak is None else self._useful_per_token * tokens_per_second / (peak * self._config.world_size)

    def _goodput(self) -> float:
        """Step time of surviving steps over the time held."""
        return self._state.progress.seconds.train / max(self._started.elapsed(), 1e-9)

    def _memory_report(self, verdict: Verdict) -> MemoryReport:
        baseline, limit = self._memory
        allocated, peak = verdict.memory
        return MemoryReport(allocated=allocated, peak=peak, limit=limit, baseline=baseline)

    def _expose(self, seconds: float, verdict: Verdict, rate: float, norm: float) -> None:
        progress, metrics = self._state.progress, self._metrics
        metrics.add("tokens_total", self._config.tokens_per_step)
        metrics.add("flops_total", self.step_flops)
        metrics.add("samples_total", self._config.batch.global_batch)
        metrics.add("steps_total", 1)
        metrics.observe("step_duration_seconds", seconds)
        metrics.set("tokens_per_second", progress.tokens_per_second)
        metrics.set("loss", verdict.loss)
        metrics.set("learning_rate", rate)
        metrics.set("gradient_norm", norm)
        metrics.set("memory_allocated_bytes", verdict.memory[0])
        metrics.set("memory_reserved_bytes", verdict.memory[0])
        metrics.set("memory_peak_bytes", verdict.memory[1])
        metrics.set("mfu_ratio", progress.mfu)
        metrics.set("goodput_ratio", progress.goodput)
