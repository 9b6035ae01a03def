"""Promise 2 while a run saves: a rank that is killed in its checkpoint leaves one behind that is skipped, and said so."""

import signal

import pytest
from tests.support.interrupts import Interrupt, Put, SaveEvery
from tests.support.pods import outlive
from tests.support.trainer import TOKENS_PER_STEP, Home, next_attempt
from tests.support.trainer_faults import DiesAt, DiesHalfWay, EveryBeat

from farthing.contract.checkpoint import checkpoint_folder

STEPS = 12
INTERVAL = 4
TORN = 8
DEATHS: dict[str, tuple[Put, int]] = {
    "half of the first shard": (DiesHalfWay(TORN, rank=0), TORN - INTERVAL),
    "half of the second shard": (DiesHalfWay(TORN, rank=1), TORN - INTERVAL),
    "before the manifest": (DiesAt(TORN, "commit"), TORN - INTERVAL),
    "before retention": (DiesAt(TORN, "_retain"), TORN),
}
"""When a rank is killed, and the step that the next attempt goes on from."""


@pytest.mark.parametrize("death", DEATHS)
def test_a_rank_killed_in_a_save_costs_at_most_one_interval(home: Home, death: str):
    fault, resumed_from = DEATHS[death]
    config = home.config(processes=2, tokens=STEPS * TOKENS_PER_STEP)
    torn = outlive(home.path, config, inside=[SaveEvery(INTERVAL), EveryBeat(), fault], code=75)
    after = outlive(home.path, next_attempt(config), code=0)
    progress = after.last_word().progress
    assert (progress.resumed_from, progress.lost_steps) == (resumed_from, TORN - resumed_from)
    assert (progress.step, progress.tokens) == (STEPS, STEPS * TOKENS_PER_STEP)
    half_done = f"checkpoint {checkpoint_folder(TORN)}.tmp.{config.job.attempt} is skipped: it was never finished"
    assert (half_done in after.log) == (resumed_from < TORN), torn.log + after.log
    assert not list((home.path / "checkpoints").glob("*.tmp.*"))


@pytest.mark.parametrize("told", ["Newest", "Trunk"])
def test_what_a_raised_budget_trained_anew_survives_a_kill(home: Home, told: str):
    """The checkpoints of the landing that was given up are newer by name; they neither win nor take the new one's place.

    An operator that did not hear of the new one tells the next attempt once more to go back to the trunk.
    """
    config = home.config(tokens=20 * TOKENS_PER_STEP, checkpoint={"keep": 1})
    landed = outlive(home.path, config, code=0)
    assert [(m.step, m.trunk) for m in landed.manifests()] == [(16, True), (20, False)]
    more = {"lease": {"budgetEnd": {"tokens": 40 * TOKENS_PER_STEP}}, "checkpoint": {"resume": told}}
    config = next_attempt(config, **more)
    faults = [SaveEvery(3), EveryBeat(), Interrupt(signal.SIGKILL, 20)]
    raised = outlive(home.path, config, inside=faults, code=75)
    assert [(m.step, m.trunk) for m in raised.manifests()] == [(16, True), (18, False)]
    after = outlive(home.path, next_attempt(config), code=0).last_word().progress
    assert (after.resumed_from, after.lost_steps, after.step) == (18, 1, 40)
