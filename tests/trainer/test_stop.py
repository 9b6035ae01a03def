"""Promise 2: the handshake and the signals. Nothing is lost on notice; a killed peer ends the gang."""

import os
import signal
import sys

from tests.support.trainer import Home, Request, eventually, from_shell, manifests, next_attempt, ranks, supervised


def acknowledged(run, request: Request):
    def done():
        status, answer = run.post("/checkpoint", request.body())
        return answer if status == 200 else None

    return eventually(done, lambda: run.log)


def test_sigterm_to_one_rank_stops_both_after_the_same_step(home: Home):
    with ranks(home.path, home.config(processes=2)) as run:
        run.until_step(5)
        os.kill(run.pids()[1], signal.SIGTERM)
        assert run.wait() == [143, 143], run.log
    word = run.last_word()
    assert (word.exit_code, word.reason) == (143, "Terminated")
    assert word.progress is not None
    assert word.progress.checkpoint is not None
    assert word.progress.checkpoint.step == word.progress.step == manifests(home.path)[-1].step
    with ranks(home.path, next_attempt(run.config)) as again:
        resumed = again.until_step(word.progress.step + 1)
    assert (resumed.resumed_from, resumed.lost_steps) == (word.progress.step, 0)


def test_a_request_to_continue_leaves_training_running(home: Home):
    with ranks(home.path, home.config(processes=2)) as run:
        run.until_step(3)
        answer = acknowledged(run, Request("once"))
        assert answer["state"] == "Acknowledged"
        (made,) = manifests(home.path)
        assert made.step == answer["step"]
        assert made.answer is not None
        assert made.answer.id == "once"
        run.until_step(answer["step"] + 3)
        assert run.post("/checkpoint", Request("once").body()) == (200, answer)
        assert len(manifests(home.path)) == 1


def test_a_request_to_stop_is_acknowledged_held_and_ended_by_sigterm(home: Home):
    with ranks(home.path, home.config(processes=2)) as run:
        run.until_step(3)
        answer = acknowledged(run, Request("stop", "Stop"))
        holding = run.until(lambda progress: progress.phase == "Holding")
        assert holding.step == answer["step"]
        assert holding.answer is not None
        assert holding.answer.digest == answer["digest"]
        for pid in run.pids():
            os.kill(pid, signal.SIGTERM)
        assert run.wait() == [143, 143]
    word = run.last_word()
    assert word.reason == "StoppedOnRequest"
    assert word.progress is not None
    assert word.progress.answer == holding.answer


def test_a_stop_whose_sigterm_never_comes_ends_by_itself(home: Home):
    with ranks(home.path, home.config(processes=2), hold=0.2) as run:
        run.until_step(3)
        acknowledged(run, Request("stop", "Stop"))
        assert run.wait() == [143, 143], run.log
    assert run.last_word().reason == "StoppedOnRequest"


def test_the_wrong_token_asks_for_nothing(home: Home):
    with ranks(home.path, home.config()) as run:
        step = run.until_step(3).step
        assert run.post("/checkpoint", Request("spoof", "Stop").body(), token="guess")[0] == 401
        run.until_step(step + 3)
        assert manifests(home.path) == []


def test_a_killed_rank_ends_the_other_with_75(home: Home):
    with supervised(home.path, home.config(processes=2)) as run:
        run.until_step(3)
        os.kill(run.pids()[1], signal.SIGKILL)
        assert run.wait() == [75], run.log
    assert run.last_word().exit_code == 75
    assert "rank 1 left with -9" in run.log


def test_sigterm_while_importing_is_a_75(home: Home):
    with from_shell(home.path, home.config(), sys.executable, "-m", "farthing_trainer") as run:
        run.until(lambda progress: progress.phase == "Starting")
        for_signal = eventually(lambda: run.progress(), lambda: run.log)
        assert for_signal.step == 0
        run.signal(signal.SIGTERM)
        assert run.wait() == [75], run.log
    assert run.last_word().reason == "TerminatedWhileStarting"


def test_sigterm_reaches_the_ranks_through_the_supervisor(home: Home):
    with supervised(home.path, home.config()) as run:
        run.until_step(3)
        run.signal(signal.SIGTERM)
        assert run.wait() == [143], run.log
    assert run.last_word().reason == "Terminated"
    assert manifests(home.path)[-1].step == run.last_word().progress.step


def test_a_peer_that_never_comes_is_a_75(home: Home):
    config = home.config(processes=2, lease={"startupSeconds": 1.0})
    with from_shell(
        home.path, config, sys.executable, "-m", "farthing_trainer", WORLD_SIZE="2", RANK="0", MASTER_ADDR="127.0.0.1"
    ) as run:
        assert run.wait() == [75], run.log
    assert run.last_word().reason == "PeerLost"


def test_memory_that_runs_out_on_one_rank_ends_both_with_76(home: Home):
    config = home.config(processes=2, strategy={"sharding": "None"})
    with ranks(home.path, config, out_of_memory_at=4) as run:
        assert run.wait() == [76, 76], run.log
    assert run.last_word().reason == "OutOfMemory"
    assert run.last_word().progress.step == 3


def test_under_fsdp_the_rank_without_memory_leaves_with_76_and_its_peer_is_a_75(home: Home):
    with ranks(home.path, home.config(processes=2), out_of_memory_at=4) as run:
        assert run.wait() == [75, 76], run.log
    assert run.last_word().reason == "PeerLost"
