"""The prepare stage as a process: its progress, its end, its answer to a stop. No torch."""

import logging
from dataclasses import dataclass

from farthing.contract.exit_codes import ExitCode
from farthing.contract.handshake import CheckpointAnswer
from farthing.contract.runconfig import RunConfig
from farthing_trainer.errors import Leave
from farthing_trainer.lease import Spent, seconds_left
from farthing_trainer.place import Place, Started
from farthing_trainer.prepare import Steps, prepare
from farthing_trainer.signals import Termination
from farthing_trainer.state import RunState

KEPT = "finished shards are kept"

log = logging.getLogger(__name__)


@dataclass
class _Gate(Steps):
    """Between two shards: obey requests and the lease. Finished shards are durable, so there is nothing to write.

    A request waits for the gate, at most for one shard's text (SHARD_TEXT_BYTES) once the corpus was read through and the
    tokenizer made; a signal does not wait.
    """

    state: RunState
    started: Started
    termination: Termination

    def between_shards(self) -> None:
        request = self.state.open_request()
        if request is not None:
            self.state.answer(CheckpointAnswer(id=request.id, state="Acknowledged", then=request.then, step=0, message=KEPT))
            if request.then == "Stop":
                raise Leave(ExitCode.STOPPED, "StoppedOnRequest", KEPT)
        if self.termination.requested:  # a library may have swallowed what the signal raised
            raise Leave(ExitCode.STOPPED, "Terminated", KEPT)
        spent = Spent(self.started.elapsed(), self.started.unix + self.started.elapsed(), 0.0, 0)
        if seconds_left(self.state.lease.trainer_end, spent) <= 0:
            raise Leave(ExitCode.STOPPED, "LeaseEnded", KEPT)


def run_prepare(config: RunConfig, place: Place, state: RunState, termination: Termination) -> None:
    """Make the product. Only rank 0 works; the others have nothing to do. Raises BadInput, Leave."""
    if not place.is_first:
        return
    state.spend("startup", place.started.elapsed())
    state.update(phase="Preparing")
    started = place.started.elapsed()
    with termination.ending_the_stage(KEPT):
        product = prepare(config, _Gate(state, place.started, termination))
    state.spend("prepare", place.started.elapsed() - started)
    state.update(phase="Finished", prepared_tokens=product.train_tokens, prepared_digest=product.digest)
    log.info("prepared %d training and %d validation tokens", product.train_tokens, product.validation_tokens)
