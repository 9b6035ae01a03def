"""The loop turns only in a leader, survives errors that Farthing knows, and ends on a bug."""

import asyncio
from datetime import UTC, datetime

import pytest

from farthing.clock import FakeClock
from farthing.controller.http import CYCLE_SILENCE_SECONDS, STREAM_SILENCE_SECONDS, Pulse
from farthing.controller.loop import Loop
from farthing.controller.queue import Doorbell, Pace, WakeUps
from farthing.errors import Unreachable
from farthing.telemetry.metrics import OperatorMetrics


class Turns:
    """Fails with each given error in turn, then ends the test's loop by cancelling it."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.made = 0

    async def __call__(self) -> None:
        if not self.outcomes:
            raise asyncio.CancelledError
        self.made += 1
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome


class ImpatientClock(FakeClock):
    """Jumps whenever it is asked: every cycle is due at once."""

    def now(self) -> datetime:
        self.advance(100)
        return super().now()


def make_loop(turns, leading=lambda: True):
    clock = ImpatientClock(datetime(2026, 11, 24, tzinfo=UTC))
    bell = Doorbell(WakeUps(clock, Pace()))
    metrics = OperatorMetrics()
    return Loop(turns, leading, bell, metrics), metrics


async def test_known_errors_do_not_end_it():
    turns = Turns(None, Unreachable("gone"), None)
    loop, metrics = make_loop(turns)
    with pytest.raises(asyncio.CancelledError):
        await loop.run()
    assert turns.made == 3
    assert b'farthing_cycle_failures_total{error="Unreachable"} 1.0' in metrics.render()
    assert loop.age is not None


async def test_a_bug_ends_it():
    loop, _ = make_loop(Turns(KeyError("bug")))
    with pytest.raises(KeyError):
        await loop.run()


async def test_a_standby_never_turns():
    turns = Turns(None, None)
    answers = iter([False, False, False])

    def leading() -> bool:
        answer = next(answers, None)
        if answer is None:
            raise asyncio.CancelledError
        return answer

    loop, _ = make_loop(turns, leading)
    with pytest.raises(asyncio.CancelledError):
        await loop.run()
    assert turns.made == 0
    assert loop.age is None


def test_pulse_complains_of_silence():
    assert Pulse({"pods": 10.0}, None).complaints() == ()
    complaints = Pulse({"pods": STREAM_SILENCE_SECONDS + 1}, CYCLE_SILENCE_SECONDS + 1, "loop").complaints()
    assert [complaint.split(" for ")[0] for complaint in complaints] == [
        "no event or bookmark of pods",
        "no cycle finished",
        "task loop ended",
    ]
