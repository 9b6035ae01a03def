import pytest

from farthing.contract.handshake import CheckpointRequest
from farthing.contract.progress import Progress
from farthing.contract.runconfig import End
from farthing_trainer import state
from farthing_trainer.lease import Lease
from farthing_trainer.state import RunState


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(state, "time", made)
    return made


def asked() -> tuple[RunState, CheckpointRequest]:
    progress = Progress(attempt="a-1", stage="Train", phase="Training", started="2026-01-01T00:00:00Z")
    run = RunState(progress, Lease(End(), End(), End()))
    request = CheckpointRequest(id="r", reason="Preempted", then="Stop", deadline_seconds=10.0)
    run.submit(request)
    return run, request


def test_a_write_that_begins_in_time_is_begun(clock: Clock):
    run, request = asked()
    clock.now += 9
    assert run.request_in_time() == request


def test_a_write_that_would_begin_too_late_is_answered_failed(clock: Clock):
    run, request = asked()
    clock.now += 11
    assert run.request_in_time() is None
    answer = run.submit(request)
    assert (answer.state, answer.then, answer.message) == ("Failed", "Stop", "its deadline passed before the write began")
    assert run.progress.answer == answer


def test_a_write_that_has_begun_is_not_cut_short(clock: Clock):
    run, request = asked()
    assert run.request_in_time() == request
    clock.now += 11
    assert run.open_request() == request
