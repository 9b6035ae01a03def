"""Promise 2 under signals: notice to any rank costs no step, a kill at most one checkpoint interval, and never the budget."""

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.free_port import free_port
from tests.support.interrupts import Interrupt, SaveEvery, leaves
from tests.support.pods import children_of, outlive, pod
from tests.support.trainer import (
    GLOBAL_BATCH,
    TOKENS_PER_STEP,
    Home,
    eventually,
    from_shell,
    next_attempt,
    supervised,
)
from tests.support.trainer_faults import EveryBeat

from farthing.contract.names import ENV_POD_INDEX

STEPS = 16
INTERVAL = 4
DOCKERFILE = Path(__file__).parents[2] / "trainer_image" / "Dockerfile"
GANGS: dict[int, dict[str, Any]] = {
    2: {"microBatch": 1, "accumulation": 2},
    4: {"microBatch": 1, "accumulation": 1},
}


@pytest.mark.parametrize("world", GANGS)
def test_sigterm_to_any_rank_in_mid_step_stops_all_after_that_step(home: Home, world: int):
    config, stopped_at = home.config(processes=world, batch=GANGS[world]), None
    for rank in range(world):
        step = 3 * (rank + 1)
        run = leaves(home.path, config, Interrupt(signal.SIGTERM, step, rank=rank), EveryBeat(), codes=[143])
        word = run.last_word()
        progress = word.progress
        assert (word.exit_code, word.reason) == (143, "Terminated")
        assert (progress.step, run.manifests()[-1].step) == (step, step)
        assert (progress.resumed_from, progress.lost_steps) == (stopped_at, 0)
        config, stopped_at = next_attempt(config), step


@pytest.mark.parametrize(("rank", "reason"), [(0, "ProcessLost"), (1, "PeerLost")])
def test_a_killed_rank_costs_less_than_an_interval_and_none_of_the_token_budget(home: Home, rank: int, reason: str):
    """Rank 0 says what it saw of the other's end; of its own the supervisor does."""
    config = home.config(processes=2, tokens=STEPS * TOKENS_PER_STEP)
    faults = [SaveEvery(INTERVAL), EveryBeat(), Interrupt(signal.SIGKILL, 11, rank=rank)]
    killed = outlive(home.path, config, inside=faults, code=75)
    assert (killed.last_word().exit_code, killed.last_word().reason) == (75, reason)
    assert f"rank {rank} left with -9" in killed.log
    after = outlive(home.path, next_attempt(config), code=0)
    progress = after.last_word().progress
    assert (progress.resumed_from, progress.lost_steps) == (8, 2)
    assert (progress.step, progress.tokens) == (STEPS, STEPS * TOKENS_PER_STEP)
    assert progress.tokens_processed == (STEPS - 8) * TOKENS_PER_STEP


def test_a_rank_killed_in_one_pod_ends_the_other_pod_too(home: Home):
    config = home.config(pods=2, batch={"microBatch": GLOBAL_BATCH // 4, "accumulation": 2})
    faults = [Interrupt(signal.SIGKILL, 5, rank=1)]
    port = str(free_port())
    with (
        pod(home.path, config, inside=faults, MASTER_PORT=port) as first,
        pod(home.path, config, inside=faults, MASTER_PORT=port, **{ENV_POD_INDEX: "1"}) as second,
    ):
        assert (first.wait(), second.wait()) == ([75], [75]), first.log + second.log
    assert first.last_word().reason == "PeerLost"


def test_sigterm_to_the_pod_while_its_ranks_import_is_a_75(home: Home):
    with supervised(home.path, home.config(processes=2)) as run:
        eventually(lambda: run.pids()[1:] or None, lambda: run.log)
        run.signal(signal.SIGTERM)
        assert run.wait() == [75], run.log
    assert run.last_word().exit_code == 75


def entrypoint() -> list[str]:
    """The image's own, with this Python."""
    (words,) = re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    return [sys.executable if word == "python" else word for word in json.loads(words)]


def test_sigterm_in_the_first_milliseconds_of_pid_1_is_not_lost(home: Home):
    """The kernel drops what PID 1 neither blocks nor handles: the signal comes before Python has read its first module."""
    config = home.config(tokens=4 * TOKENS_PER_STEP)
    namespace = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    with from_shell(home.path, config, *namespace, *entrypoint()) as run:
        first = eventually(lambda: next(iter(run.pids()), None), lambda: run.log)
        eventually(lambda: True if is_python(first) else None, lambda: run.log)
        assert children_of(first) == []
        os.kill(first, signal.SIGTERM)
        assert run.wait() == [75], run.log
    assert run.last_word().exit_code == 75


def is_python(pid: int) -> bool:
    return Path(f"/proc/{pid}/exe").resolve() == Path(sys.executable).resolve()
