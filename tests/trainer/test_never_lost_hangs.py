"""A rank that hangs is seen, ended with 75 and resumed from; whatever else takes long is left alone."""

import os
import signal

import pytest
from tests.support.free_port import free_port
from tests.support.interrupts import Interrupt, SaveEvery
from tests.support.pods import outlive, pod, state_of
from tests.support.trainer import GLOBAL_BATCH, TOKENS_PER_STEP, Home, eventually, next_attempt
from tests.support.trainer_faults import EveryBeat, Impatient, Slow

from farthing.contract.names import ENV_POD_INDEX

LONG = os.environ.get("FARTHING_LONG") == "1"
PATIENCE = () if LONG else (Impatient(),)
"""Long: the product's own half minute."""
STEPS = 12


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_hangs_is_seen_ended_and_resumed_from(home: Home, rank: int):
    config = home.config(processes=2, tokens=STEPS * TOKENS_PER_STEP)
    faults = [SaveEvery(4), EveryBeat(), Interrupt(signal.SIGSTOP, 7, rank=rank)]
    hung = outlive(home.path, config, around=PATIENCE, inside=faults, code=75)
    word = hung.last_word()
    assert (word.exit_code, word.reason) == (75, "RankHung")
    assert "in step 7" in word.message, "of either rank: the other waits for it, and its promise may end first"
    after = outlive(home.path, next_attempt(config), code=0).last_word().progress
    assert (after.resumed_from, after.lost_steps, after.step) == (4, 2, STEPS)


def test_a_rank_that_hangs_in_another_pod_ends_both(home: Home):
    """Each supervisor sees its own ranks alone: those that wait for the one that hangs are silent too."""
    config = home.config(pods=2, batch={"microBatch": GLOBAL_BATCH // 4, "accumulation": 2})
    faults = [Interrupt(signal.SIGSTOP, 7, rank=1)]
    port = str(free_port())
    with (
        pod(home.path, config, around=PATIENCE, inside=faults, MASTER_PORT=port) as first,
        pod(home.path, config, around=PATIENCE, inside=faults, MASTER_PORT=port, **{ENV_POD_INDEX: "1"}) as second,
    ):
        assert (first.wait(), second.wait()) == ([75], [75]), first.log + second.log
    assert second.last_word().reason == "RankHung"
    assert first.last_word().reason in ("RankHung", "PeerLost")  # the other pod's end may be seen first


def test_joining_loading_compiling_saving_and_evaluating_may_take_longer_than_a_hang(home: Home):
    impatient = Impatient(floor=2.0, confirm=0.5)
    slow = Slow(impatient.floor + 2 * impatient.confirm)
    run = outlive(home.path, home.config(tokens=6 * TOKENS_PER_STEP), around=[impatient], inside=[slow], code=0)
    assert run.last_word().reason == "Landed"


def test_a_pod_that_was_frozen_as_a_whole_goes_on(home: Home):
    """A container that is paused is nobody's hang: the supervisor counts only the time that it was awake itself."""
    impatient = Impatient(floor=2.0, confirm=4.0)
    with pod(home.path, home.config(processes=2), around=[impatient], inside=[Interrupt(signal.SIGSTOP, 7, rank=1)]) as run:
        run.until_step(6)
        _, stopped = run.pids()
        eventually(lambda: True if state_of(stopped) == "T" else None, lambda: run.log)
        run.signal(signal.SIGSTOP)
        frozen_at = run.age()
        eventually(lambda: True if run.age() > frozen_at + impatient.floor + impatient.confirm else None, lambda: run.log)
        os.kill(stopped, signal.SIGCONT)
        run.signal(signal.SIGCONT)
        step = run.until_step(7).step
        run.until_step(step + 3)
