"""Faults and witnesses that are put into a rank before it starts: a signal at an exact place, saves by the step, what was seen.

Each is picklable and patches the process that it is called in; `support/trainer.py::ranks(inside=…)` calls them.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.trainer import Run, ranks

from farthing.contract.runconfig import RunConfig

Put = Callable[[], None]


@dataclass(frozen=True)
class Interrupt:
    """A signal that one rank gets while it is inside micro-batch `micro` of step `step`."""

    number: int
    step: int
    micro: int = 0
    rank: int = 0

    def __call__(self) -> None:
        if int(os.environ["RANK"]) != self.rank:
            return
        from farthing_trainer.loop import Trainer

        inside = Trainer._prepare_micro_batch

        def interrupted(trainer: Trainer, micro: int) -> None:
            if (trainer.position.step + 1, micro) == (self.step, self.micro):
                os.kill(os.getpid(), self.number)
            inside(trainer, micro)

        Trainer._prepare_micro_batch = interrupted  # type: ignore[method-assign]


@dataclass(frozen=True)
class SaveEvery:
    """A checkpoint after each multiple of `steps`, whatever the clock says."""

    steps: int

    def __call__(self) -> None:
        from farthing_trainer.governor import Governor, Wish

        judge = Governor.judge

        def by_steps(governor: Governor, step: int, *about: Any) -> Wish:
            return replace(judge(governor, step, *about), checkpoint=step % self.steps == 0)

        Governor.judge = by_steps  # type: ignore[method-assign, assignment]


@dataclass(frozen=True)
class Seen:
    """One micro-batch that a rank really trained on: the sequences it read, and a digest of the tokens that came."""

    attempt: str
    step: int
    rank: int
    micro: int
    sequences: tuple[int, ...]
    tokens: tuple[str, ...]


@dataclass(frozen=True)
class Witness:
    """Writes down every micro-batch, and on rank 0 the loss of every step, below `home`; attempts add to what is there."""

    home: Path

    def __call__(self) -> None:
        from farthing_trainer.data import Sequences
        from farthing_trainer.loop import Trainer

        micro_batch, batch, report = Trainer._micro_batch, Sequences.batch, Trainer._report_step
        rank = int(os.environ["RANK"])
        place: dict[str, Any] = {}

        def placed(trainer: Trainer, micro: int) -> Any:
            place.update(attempt=trainer.config.job.attempt, step=trainer.position.step + 1, rank=rank, micro=micro)
            loss = micro_batch(trainer, micro)
            place.clear()
            return loss

        def witnessed(corpus: Sequences, sequences: Any) -> Any:
            inputs, targets = batch(corpus, sequences)
            if place:  # else it is a validation pass
                tokens = [digest_of_tokens(row) for row in inputs]
                self._write(f"seen-{rank}", {**place, "sequences": sequences.tolist(), "tokens": tokens})
            return inputs, targets

        def reported(trainer: Trainer, verdict: Any, *rest: Any) -> None:
            report(trainer, verdict, *rest)
            if rank == 0:
                self._write("losses", {"step": trainer.position.step, "loss": verdict.loss})

        Trainer._micro_batch = placed  # type: ignore[method-assign]
        Sequences.batch = witnessed  # type: ignore[method-assign]
        Trainer._report_step = reported  # type: ignore[method-assign]

    def _write(self, name: str, line: dict[str, Any]) -> None:
        with (self.home / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def seen(self) -> list[Seen]:
        """Every micro-batch of every rank and attempt."""
        lines = [json.loads(line) for path in sorted(self.home.glob("seen-*.jsonl")) for line in path.read_text().splitlines()]
        return [Seen(**{**line, "sequences": tuple(line["sequences"]), "tokens": tuple(line["tokens"])}) for line in lines]

    def losses(self) -> dict[int, float]:
        """Nats per token by step; of a step that was made twice the last."""
        lines = [json.loads(line) for line in (self.home / "losses.jsonl").read_text().splitlines()]
        return {line["step"]: line["loss"] for line in lines}


def digest_of_tokens(row: np.ndarray) -> str:
    """SHA-256 of one sequence's ids."""
    return hashlib.sha256(row.tobytes()).hexdigest()


def leaves(home: Path, config: RunConfig, *inside: Put, codes: Sequence[int]) -> Run:
    """Run all ranks to their end, which must be one of `codes` for every rank."""
    with ranks(home, config, inside=inside) as run:
        left = run.wait()
    run.ended = lambda: left
    assert set(left) <= set(codes), f"the ranks left with {left}\n{run.log}"
    return run
