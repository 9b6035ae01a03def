"""One process of an attempt: `python -m farthing_trainer --config run.json`.

The signal handler and, on rank 0, the control port stand before anything slow is imported; the prepare stage never
imports torch.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from farthing.contract.exit_codes import ExitCode
from farthing.contract.names import ENV_RUN_CONFIG
from farthing.contract.progress import Progress
from farthing.contract.runconfig import RunConfig
from farthing.units import format_time
from farthing_trainer.control import ControlServer
from farthing_trainer.errors import BadInput, Leave
from farthing_trainer.lease import Lease
from farthing_trainer.metrics import Metrics
from farthing_trainer.place import Place, place_from
from farthing_trainer.preflight import preflight
from farthing_trainer.report import say_last_word
from farthing_trainer.signals import Termination
from farthing_trainer.state import RunState

log = logging.getLogger("farthing_trainer")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the process leaves."""

    code: int
    reason: str
    message: str = ""


def main() -> int:
    """Run one process; returns its exit code."""
    termination = Termination().install()
    place = place_from()
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s rank {place.rank} %(name)s: %(message)s", stream=sys.stderr)
    try:
        config = read_config(_arguments().config)
    except BadInput as error:
        log.error("%s", error)  # noqa: TRY400 - the user's mistake, so no traceback
        return ExitCode.BAD_CONFIG
    state = RunState(_first_progress(config, place), Lease.from_config(config.lease))
    last_word = _LastWord(place, state, config)
    termination.on_early_exit(lambda: last_word.say(Outcome(ExitCode.TRY_AGAIN, "TerminatedWhileStarting")))
    try:
        outcome = _outcome(lambda: _serve_and_run(config, place, state, termination))
        last_word.say(outcome)
        return outcome.code
    finally:
        last_word.say(Outcome(1, "InternalError", "see the log"))


def _serve_and_run(config: RunConfig, place: Place, state: RunState, termination: Termination) -> Outcome:
    """Rank 0's port stands before the stage begins, and until it has ended."""
    metrics = Metrics(config.job, place.rank)
    server = ControlServer(config.control, state, metrics.expose).start() if place.is_first else None
    try:
        if config.stage == "Prepare":
            return _prepare(config, place, state, termination)
        return _train(config, place, state, metrics, termination)
    finally:
        if server is not None:
            server.close()


def _prepare(config: RunConfig, place: Place, state: RunState, termination: Termination) -> Outcome:
    from farthing_trainer.preparing import run_prepare

    run_prepare(config, place, state, termination)
    return Outcome(ExitCode.LANDED, "Prepared")


def _train(config: RunConfig, place: Place, state: RunState, metrics: Metrics, termination: Termination) -> Outcome:
    preflight(config, place)
    from farthing_trainer.run import train

    train(config, place, state, metrics, termination)
    return Outcome(ExitCode.LANDED, "Landed")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="farthing_trainer", description="Run one process of a training attempt.")
    default = os.environ.get(ENV_RUN_CONFIG)
    parser.add_argument("--config", type=Path, default=default, required=default is None, help="run config (JSON)")
    return parser.parse_args()


def read_config(path: Path) -> RunConfig:
    """The run config in a file. Raises BadInput with every field that is wrong."""
    try:
        return RunConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInput("--config", str(path), f"it cannot be read ({error})") from error
    except ValidationError as error:
        raise BadInput("--config", str(path), str(error)) from error


def _first_progress(config: RunConfig, place: Place) -> Progress:
    started = format_time(place.started.moment)
    return Progress(attempt=config.job.attempt, stage=config.stage, phase="Starting", started=started)


@dataclass
class _LastWord:
    """Said once, by rank 0."""

    place: Place
    state: RunState
    config: RunConfig
    said: bool = False

    def say(self, outcome: Outcome) -> None:
        if self.said or not self.place.is_first:
            return
        self.said = True
        landed = outcome.code == ExitCode.LANDED and self.config.stage == "Train"
        output = self.config.output_uri if landed else None
        say_last_word(outcome.code, outcome.reason, outcome.message, self.state.progress, output)


def _outcome(stage: Callable[[], Outcome]) -> Outcome:
    """Run a stage and name the way it ended. What is not listed here is a fault of the program and keeps its traceback."""
    try:
        return stage()
    except Leave as end:
        return Outcome(end.code, end.reason, end.message)
    except BadInput as error:
        log.error("%s", error)  # noqa: TRY400 - the user's mistake, so no traceback
        return Outcome(ExitCode.BAD_CONFIG, "BadConfig", str(error))
    except MemoryError as error:
        log.exception("out of memory")
        return Outcome(ExitCode.OUT_OF_MEMORY, "OutOfMemory", str(error))
    except OSError as error:
        log.exception("storage or network was lost")
        return Outcome(ExitCode.TRY_AGAIN, "StorageLost", str(error))
    except RuntimeError as error:
        log.exception("a collective or the device failed")
        return _runtime_outcome(error)


def _runtime_outcome(error: RuntimeError) -> Outcome:
    """torch raises RuntimeError for both: memory that ran out, and a peer that is gone."""
    from farthing_trainer.memory import is_out_of_memory

    if is_out_of_memory(error):
        return Outcome(ExitCode.OUT_OF_MEMORY, "OutOfMemory", str(error))
    return Outcome(ExitCode.TRY_AGAIN, "PeerLost", str(error))


def leave(code: int) -> NoReturn:
    """End the process at once. All is said and durable; to take torch apart first would keep the next attempt waiting."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main())
