from dataclasses import replace
from math import inf

import pytest
from tests.unit.ledger.builders import plan
from tests.unit.scheduler.builders import gang, node, pool, view

from farthing.scheduler.outlook import Outlook

ONE, TWO, THREE = (plan(pods=pods).allocation for pods in (1, 2, 3))


def outlook(*running: object, free: int = 1, total: int = 4) -> Outlook:
    return Outlook.of(view([], list(running), pool(node("n", free, total))))  # type: ignore[arg-type]


def free_at(state: Outlook, second: float) -> int:
    return sum(one.free for one in state.at("cpu", second))


def test_gangs_leave_when_they_end() -> None:
    state = outlook(gang("a-1", "n", remaining_seconds=50.0), gang("b-1", "n", "n", remaining_seconds=90.0))
    assert [free_at(state, second) for second in (0, 49.9, 50, 90)] == [1, 1, 2, 4]
    assert (state.earliest(ONE), state.earliest(TWO), state.earliest(THREE)) == (0.0, 50.0, 90.0)
    assert state.earliest(plan(pods=5).allocation) == inf


def test_what_is_kept_for_one_waiting_job_is_not_there_for_the_next() -> None:
    state = outlook(gang("a-1", "n", remaining_seconds=50.0), gang("b-1", "n", "n", remaining_seconds=90.0))
    kept = state.reserving("first", TWO, 50.0)
    assert [free_at(kept, second) for second in (49, 50, 90)] == [1, 0, 2]
    assert kept.earliest(TWO) == 90.0
    assert kept.reserving("never", TWO, inf) is kept


def test_stopping_gangs_leave_in_second_0() -> None:
    state = outlook(gang("s-1", "n", stopping=True), gang("v-1", "n", "n"))
    assert sum(one.free for one in state.now("cpu")) == 1
    assert free_at(state, 0) == 2
    emptied = state.stopping(["v-1"]).emptied()
    assert sum(one.free for one in emptied.now("cpu")) == 4
    assert emptied.occupants == ()


def test_the_waiting_job_that_a_start_would_delay_is_named() -> None:
    state = outlook(gang("a-1", "n", remaining_seconds=50.0), free=2, total=3)
    kept = state.reserving("first", TWO, 0.0).reserving("elsewhere", replace(ONE, pool="gpu"), 0.0)
    assert kept.delayed_by("x", ONE, 10.0) == "first"
    later = state.reserving("first", THREE, 50.0)
    assert later.delayed_by("x", TWO, 50.0) is None
    assert later.delayed_by("x", TWO, 50.1) == "first"
    assert not later.starts("x", TWO, 50.1)
    assert not later.starts("x", THREE, 1.0), "it does not fit now"


def test_a_gang_that_does_not_fit_cannot_be_started() -> None:
    with pytest.raises(ValueError, match="x: 2 pods of 1 do not fit on cpu"):
        outlook().starting("x", TWO, 10.0)
