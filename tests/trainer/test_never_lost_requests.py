"""Promise 2 under requests: a stop ends well with nobody there, and asking twice, late or in between changes nothing."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.interrupts import Interrupt, SaveEvery
from tests.support.pods import outlive, pod, state_of
from tests.support.trainer import TOKENS_PER_STEP, Home, Request, Run, eventually, manifests, next_attempt, ranks
from tests.support.trainer_faults import EveryBeat, Gate, ShortHold

from farthing.contract.handshake import HOLD_AFTER_STOP_SECONDS


def answered(run: Run, request: Request) -> dict[str, Any]:
    """Ask again and again, as the operator does, until the answer is final."""

    def final() -> dict[str, Any] | None:
        status, answer = run.post("/checkpoint", request.body())
        return answer if status == 200 else None

    return eventually(final, lambda: run.log)


def test_an_operator_that_dies_after_the_acknowledgement_leaves_a_pod_that_ends_by_itself(home: Home):
    """Nobody asks again and nobody sends SIGTERM: every process has left with 143 after the hold, and no step is lost."""
    assert HOLD_AFTER_STOP_SECONDS <= 30
    config = home.config(processes=2)
    with pod(home.path, config, inside=[ShortHold(), EveryBeat()]) as run:
        run.until_step(3)
        answer = answered(run, Request("stop", "Stop"))
        assert run.wait() == [143], run.log
    word = run.last_word()
    assert (word.exit_code, word.reason, word.progress.answer.step) == (143, "StoppedOnRequest", answer["step"])
    config = next_attempt(config, lease={"budgetEnd": {"tokens": (answer["step"] + 4) * TOKENS_PER_STEP}})
    resumed = outlive(home.path, config, code=0).last_word().progress
    assert (resumed.resumed_from, resumed.lost_steps) == (answer["step"], 0)


def test_the_same_request_from_many_sides_makes_one_checkpoint(home: Home):
    gate = Gate(home.path)
    with ranks(home.path, home.config(processes=2), inside=[gate]) as run:
        run.until_step(3)
        ask = lambda _: run.post("/checkpoint", Request("once").body())  # noqa: E731 - asked below, many times
        with ThreadPoolExecutor(8) as many:
            first = list(many.map(ask, range(8)))
            gate.wait(lambda: run.log)
            during = list(many.map(ask, range(8)))
        assert {status for status, _ in first + during} == {202}
        gate.open()
        answer = answered(run, Request("once"))
        assert answer["state"] == "Acknowledged"
        run.until_step(answer["step"] + 3)
        assert run.post("/checkpoint", Request("once").body()) == (200, answer)
        assert [m.step for m in manifests(home.path)] == [answer["step"]]


def test_a_request_while_a_save_is_in_flight_is_answered_by_that_save(home: Home):
    """One save in flight: it is at the step where the run stands, so it is what the request asks for."""
    gate = Gate(home.path)
    with ranks(home.path, home.config(processes=2), inside=[gate, SaveEvery(10_000), ShortHold()]) as run:
        run.until_step(3)
        run.post("/checkpoint", Request("first").body())
        gate.wait(lambda: run.log)
        status, busy = run.post("/checkpoint", Request("second", "Stop").body())
        assert (status, busy["id"], busy["state"]) == (409, "first", "Accepted")
        gate.open()
        assert answered(run, Request("first"))["state"] == "Acknowledged"
        second = answered(run, Request("second", "Stop"))
        assert run.wait() == [143, 143], run.log
    assert second["state"] == "Acknowledged"
    assert run.last_word().progress.step == second["step"] == manifests(home.path)[-1].step


def test_a_stop_requested_while_a_periodic_save_is_in_flight_stops_there(home: Home):
    gate = Gate(home.path)
    with ranks(home.path, home.config(processes=2), inside=[gate, SaveEvery(5), ShortHold()]) as run:
        gate.wait(lambda: run.log)
        assert run.post("/checkpoint", Request("stop", "Stop").body())[0] == 202
        gate.open()
        assert run.wait() == [143, 143], run.log
    word, (made,) = run.last_word(), manifests(home.path)
    assert word.reason == "StoppedOnRequest"
    assert (word.progress.answer.id, word.progress.answer.state) == ("stop", "Acknowledged")
    assert (word.progress.step, made.step, word.progress.answer.step) == (5, 5, 5)
    assert word.progress.answer.digest == word.progress.checkpoint.digest


def test_a_request_whose_deadline_passes_before_the_write_begins_is_answered_failed(home: Home):
    config = home.config(processes=2)
    with ranks(home.path, config, inside=[Interrupt(signal.SIGSTOP, 6, rank=1)]) as run:
        run.until_step(5)
        eventually(lambda: True if state_of(run.pids()[1]) == "T" else None, lambda: run.log)
        assert run.post("/checkpoint", Request("late", extra={"deadlineSeconds": 0.001}).body())[0] == 202
        os.kill(run.pids()[1], signal.SIGCONT)
        late = answered(run, Request("late"))
        assert (late["state"], late["message"]) == ("Failed", "its deadline passed before the write began")
        assert answered(run, Request("in time"))["state"] == "Acknowledged"
        assert len(manifests(home.path)) == 1
