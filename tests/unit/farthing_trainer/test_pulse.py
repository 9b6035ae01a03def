import math
import os
from collections.abc import Iterator

import pytest

from farthing_trainer import pulse
from farthing_trainer.pulse import CONFIRM_SECONDS, ENV_PULSE, FLOOR_SECONDS, Listener, Pulse, allowance
from farthing_trainer.speed import Speed


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pulse, "time", made)
    return made


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


def measured(seconds: float, steps: int = 10) -> Speed:
    speed = Speed()
    for _ in range(steps):
        speed.add(seconds)
    return speed


def test_the_first_steps_take_what_they_take():
    assert allowance(Speed()) == math.inf
    assert allowance(measured(0.1, steps=2)) == math.inf


def test_tens_of_seconds_and_ten_slow_steps():
    assert allowance(measured(0.1)) == FLOOR_SECONDS
    assert 10 <= FLOOR_SECONDS + CONFIRM_SECONDS <= 60
    assert allowance(measured(20.0)) == 200.0


def test_a_rank_that_said_nothing_yet_does_not_hang(listener: Listener, clock: Clock):
    clock.now += 10_000
    assert listener.hangs_in(10_000) is None


def test_a_broken_promise_counts_once_it_was_confirmed(listener: Listener, clock: Clock):
    with Pulse(listener.descriptor).over_a_step(7, measured(0.1)):
        assert listener.hangs_in(1.0) is None
        clock.now += FLOOR_SECONDS + 1
        for _ in range(int(CONFIRM_SECONDS) - 1):
            assert listener.hangs_in(1.0) is None
        assert listener.hangs_in(1.0) == 7


def test_the_time_of_a_supervisor_that_was_asleep_does_not_count(listener: Listener, clock: Clock):
    with Pulse(listener.descriptor).over_a_step(7, measured(0.1)):
        listener.hangs_in(0.5)
        clock.now += 10 * FLOOR_SECONDS
        assert listener.hangs_in(0.5) is None


def test_a_renewed_promise_starts_anew(listener: Listener, clock: Clock):
    rank = Pulse(listener.descriptor)
    with rank.over_a_step(7, measured(0.1)):
        listener.hangs_in(0.5)
        clock.now += FLOOR_SECONDS + 1
        assert listener.hangs_in(CONFIRM_SECONDS - 1) is None
    with rank.over_a_step(8, measured(0.1)):
        assert listener.hangs_in(CONFIRM_SECONDS - 1) is None
        clock.now += 1
        assert listener.hangs_in(CONFIRM_SECONDS) is None


def test_between_two_steps_nothing_is_promised(listener: Listener, clock: Clock):
    with Pulse(listener.descriptor).over_a_step(7, measured(0.1)):
        pass
    clock.now += 10_000
    assert listener.hangs_in(1.0) is None
    assert listener.hangs_in(CONFIRM_SECONDS) is None


def test_a_step_that_failed_keeps_its_promise_open(listener: Listener, clock: Clock):
    with pytest.raises(RuntimeError), Pulse(listener.descriptor).over_a_step(7, measured(0.1)):
        raise RuntimeError("a peer is gone")
    listener.hangs_in(0.5)
    clock.now += FLOOR_SECONDS + 1
    assert listener.hangs_in(CONFIRM_SECONDS) == 7


def test_without_a_supervisor_nobody_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(ENV_PULSE, raising=False)
    with Pulse.from_environment().over_a_step(1, measured(0.1)):
        pass


def test_the_descriptor_is_not_handed_on(listener: Listener, monkeypatch: pytest.MonkeyPatch):
    os.set_inheritable(listener.descriptor, True)
    monkeypatch.setenv(ENV_PULSE, str(listener.descriptor))
    Pulse.from_environment()
    assert not os.get_inheritable(listener.descriptor)
