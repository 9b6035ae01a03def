"""Promise 3 at every place: wherever a run is interrupted, it goes on to the same bits, weights and optimizer alike."""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, product
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

import pytest
from tests.support.interrupts import Interrupt, SaveEvery, leaves
from tests.support.sameness import assert_same, assert_same_output, with_checkpoint
from tests.support.trainer import TOKENS_PER_STEP, Home, next_attempt

LONG = os.environ.get("FARTHING_LONG") == "1"
STEPS = 30
TRUNK = 24  # the landing is 25 to 30, the warm-up 1 to 3
EVERY_STEP = range(1, STEPS + 1)
LANDED, STOPPED, TRY_AGAIN = 0, 143, 75

ALONE = {"processes": 1, "batch": {"microBatch": 1, "accumulation": 4}}
TOGETHER = {"processes": 2, "batch": {"microBatch": 1, "accumulation": 2}}


def a_run(home: Home, gang: dict[str, Any]) -> Any:
    """A config whose every checkpoint is kept."""
    return home.config(tokens=STEPS * TOKENS_PER_STEP, checkpoint={"keep": STEPS + 1}, **gang)


def uninterrupted(folder: Path, data: Path, gang: dict[str, Any]) -> Path:
    """A run to the landing that is never interrupted, with a checkpoint of every step."""
    leaves(folder, a_run(Home(folder, data), gang), SaveEvery(1), codes=[LANDED])
    return folder


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, four micro-batches a step."""
    return uninterrupted(tmp_path_factory.mktemp("alone"), data, ALONE)


@pytest.fixture(scope="module")
def together(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two processes, two micro-batches a step."""
    return uninterrupted(tmp_path_factory.mktemp("together"), data, TOGETHER)


def two_at_a_time(work: Any, items: Any) -> None:
    """Do the work for every item, on both cores; the first failure is raised."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, items))


def test_saving_changes_nothing(home: Home, alone: Path):
    leaves(home.path, a_run(home, ALONE), codes=[LANDED])
    assert_same(home.path, alone, [TRUNK, STEPS])
    assert_same_output(home.path, alone)


def test_a_run_stopped_in_every_step_is_the_same_after_each(home: Home, together: Path):
    """Thirty attempts of one step each: the signal comes to either rank, in either micro-batch; trunk and landing too."""
    config = a_run(home, TOGETHER)
    for step, (micro, rank) in zip(EVERY_STEP, cycle(product((0, 1), (0, 1)))):
        leaves(home.path, config, Interrupt(SIGTERM, step, micro, rank), codes=[STOPPED])
        config = next_attempt(config)
    leaves(home.path, config, codes=[LANDED])
    assert_same(home.path, together, EVERY_STEP)
    assert_same_output(home.path, together)


def test_a_run_interrupted_once_after_any_step_ends_the_same(home: Home, alone: Path):
    """Many steps after one resume: nothing that a process keeps beside the checkpoint has a say."""

    def resumed(step: int) -> None:
        there = Home(with_checkpoint(home.path / str(step), alone, step), home.data)
        leaves(there.path, next_attempt(a_run(there, ALONE)), codes=[LANDED])
        assert_same(there.path, alone, [STEPS])
        assert_same_output(there.path, alone)

    two_at_a_time(resumed, EVERY_STEP)


@pytest.mark.parametrize("step", [2, TRUNK, TRUNK + 1, STEPS])
def test_a_stop_inside_any_micro_batch_finishes_the_step(home: Home, alone: Path, step: int):
    """In the warm-up, in the last step before the landing, in its first, and in the last of all."""

    def stopped(micro: int) -> None:
        there = Home(with_checkpoint(home.path / str(micro), alone, step - 1), home.data)
        leaves(there.path, a_run(there, ALONE), Interrupt(SIGTERM, step, micro), codes=[STOPPED])
        assert_same(there.path, alone, [step])

    two_at_a_time(stopped, range(4))


def test_a_run_killed_again_and_again_replays_to_the_same_bits(home: Home, together: Path):
    """SIGKILL of either rank, before the first checkpoint, in the landing, in the last step; saves every fourth step."""
    config, killed_in = a_run(home, TOGETHER), [3, 7, 9, 15, 19, 23, 24, 26, 30]
    for step, (rank, micro) in zip(killed_in, cycle(product((0, 1), (0, 1)))):
        leaves(home.path, config, SaveEvery(4), Interrupt(SIGKILL, step, micro, rank), codes=[-SIGKILL, TRY_AGAIN])
        config = next_attempt(config)
    leaves(home.path, config, SaveEvery(4), codes=[LANDED])
    assert_same(home.path, together, [*range(4, STEPS, 4), STEPS])
    assert_same_output(home.path, together)
