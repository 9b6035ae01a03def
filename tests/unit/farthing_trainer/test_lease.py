import math

import pytest

from farthing.contract.handshake import LeaseUpdate
from farthing.contract.runconfig import End, LeaseConfig
from farthing_trainer.lease import Lease, Price, Spent, only_tokens_bind, seconds_left, steps_left

NOON = 1_800_000_000.0
"""2027-01-15T08:00:00Z"""


def spent(elapsed: float = 100.0, flops: float = 0.0, tokens: int = 0, unix: float = NOON) -> Spent:
    return Spent(elapsed, unix, flops, tokens)


def a_lease() -> Lease:
    return Lease.from_config(
        LeaseConfig(
            trainer_end=End(seconds=500),
            supervisor_end=End(seconds=300, not_after="2027-01-15T09:00:00Z"),
            budget_end=End(tokens=1000),
            grace_seconds=30,
            startup_seconds=60,
        )
    )


def test_the_earlier_clock_binds():
    end = End(seconds=400, not_after="2027-01-15T08:01:00Z")
    assert seconds_left(end, spent(elapsed=100)) == 60
    assert seconds_left(end, spent(elapsed=390)) == 10


def test_an_end_without_a_clock_leaves_time_without_bound():
    assert seconds_left(End(tokens=5), spent()) == math.inf


@pytest.mark.parametrize(
    ("end", "want"),
    [
        (End(seconds=200), 9),  # (200 − 100 − 10) / 10
        (End(flops=1000), 8),  # (1000 − 100 − 50) / 100
        (End(tokens=640), 9),  # (640 − 64) / 64, exactly
        (End(seconds=200, flops=1000, tokens=640), 8),
        (End(seconds=50), 0),
    ],
)
def test_the_axis_with_the_fewest_steps_binds(end: End, want: int):
    price = Price(seconds=10, flops=100, tokens=64)
    assert steps_left(end, spent(flops=100, tokens=64), price, reserve_seconds=10, reserve_flops=50) == want


def test_time_does_not_bind_before_a_step_was_measured():
    assert steps_left(End(seconds=1), spent(), Price(0.0, 1.0, 1), 0, 0) == math.inf


def test_only_tokens_bind():
    assert only_tokens_bind(End(tokens=5))
    assert not only_tokens_bind(End(tokens=5, seconds=5))
    assert not only_tokens_bind(End())


def test_the_trainer_s_end_never_reaches_past_the_supervisor_s():
    lease = a_lease()
    assert lease.trainer_end == End(seconds=300, not_after="2027-01-15T09:00:00Z")
    lease.move(LeaseUpdate(id="a", trainer_end=End(not_after="2027-01-15T23:00:00Z", flops=7)))
    assert lease.trainer_end == End(seconds=300, not_after="2027-01-15T09:00:00Z", flops=7)


def test_a_move_keeps_what_it_does_not_name():
    lease = a_lease()
    lease.move(LeaseUpdate(id="a", budget_end=End(tokens=2000)))
    assert lease.budget_end == End(tokens=2000)
    assert lease.trainer_end.seconds == 300
