"""Wake-ups: bursts become one cycle, quiet ones come with the period, failures back off."""

import asyncio
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.clock import FakeClock, SystemClock
from farthing.controller.queue import LAST_BACKOFF_SECONDS, Doorbell, Pace, WakeUps

PACE = Pace(debounce=0.1, longest_burst=1.0, period=5.0)


@pytest.fixture
def clock():
    return FakeClock(datetime(2026, 11, 24, tzinfo=UTC))


@pytest.fixture
def wake_ups(clock):
    return WakeUps(clock, PACE, random.Random(7))


def test_nothing_changed_waits_for_the_period(wake_ups, clock):
    assert wake_ups.wait_seconds() == 5.0
    clock.advance(5)
    assert wake_ups.wait_seconds() == 0.0
    assert wake_ups.take() == frozenset()
    assert wake_ups.wait_seconds() == 5.0


def test_a_change_waits_for_quiet(wake_ups):
    wake_ups.wake("a/b")
    wake_ups.wake("a/b")
    assert wake_ups.wait_seconds() == pytest.approx(0.1)
    assert len(wake_ups) == 1
    assert wake_ups.take() == {"a/b"}


@given(st.lists(st.floats(min_value=0.01, max_value=0.09), min_size=1, max_size=100))
def test_a_burst_never_waits_longer_than_its_bound(gaps):
    clock = FakeClock(datetime(2026, 11, 24, tzinfo=UTC))
    wake_ups = WakeUps(clock, PACE)
    wake_ups.wake("first")
    begun = clock.now()
    for gap in gaps:
        clock.advance(gap)
        wake_ups.wake("more")
    assert (wake_ups.due() - begun).total_seconds() <= PACE.longest_burst


def test_failures_back_off_with_jitter_and_success_forgets_them(wake_ups, clock):
    delays = [wake_ups.failed() for _ in range(12)]
    assert delays[0] <= 0.5
    assert all(delay <= LAST_BACKOFF_SECONDS for delay in delays)
    assert delays[-1] >= LAST_BACKOFF_SECONDS / 2
    wake_ups.wake("a")
    assert wake_ups.wait_seconds() == pytest.approx(delays[-1])
    wake_ups.succeeded()
    assert wake_ups.wait_seconds() == pytest.approx(0.1)


async def test_the_bell_wakes_its_waiter():
    bell = Doorbell(WakeUps(SystemClock(), Pace(debounce=0.001, longest_burst=0.01, period=600)))
    waiting = asyncio.create_task(bell.next())
    await asyncio.sleep(0)
    bell.ring("a/b")
    async with asyncio.timeout(10):
        assert await waiting == {"a/b"}


async def test_the_period_ends_by_itself():
    bell = Doorbell(WakeUps(SystemClock(), Pace(debounce=0.001, longest_burst=0.01, period=0.01)))
    async with asyncio.timeout(10):
        assert await bell.next() == frozenset()
