from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.scheduler.builders import T0

from farthing.scheduler.urgency import urgency


def at(hours: float) -> datetime:
    return T0 + timedelta(hours=hours)


def pressing(now: float, *, deadline: float | None = None, window_end: float | None = None, work: float = 0) -> float:
    return urgency(
        now=at(now),
        created=T0,
        deadline=None if deadline is None else at(deadline),
        window_end=None if window_end is None else at(window_end),
        work_seconds=work * 3600,
    )


def test_it_is_the_share_of_the_slack_that_has_passed() -> None:
    assert pressing(0, deadline=10, work=2) == 0.0
    assert pressing(4, deadline=10, work=2) == 0.5
    assert pressing(8, deadline=10, work=2) == 1.0


def test_the_earlier_end_counts() -> None:
    assert pressing(4, deadline=10, window_end=8) == 0.5
    assert pressing(4, window_end=8) == 0.5


def test_nothing_presses_without_an_end() -> None:
    assert pressing(100, work=5) == 0.0


def test_a_job_that_never_had_slack_presses_at_once() -> None:
    assert pressing(0, deadline=1, work=2) == 1.0
    assert pressing(-1, deadline=1, work=1) == 1.0


@given(st.floats(-10, 50), st.floats(0, 20), st.floats(0.1, 40), st.floats(0, 30))
def test_it_only_ever_rises_and_stays_between_0_and_1(now: float, later: float, deadline: float, work: float) -> None:
    early, late = pressing(now, deadline=deadline, work=work), pressing(now + later, deadline=deadline, work=work)
    assert 0.0 <= early <= late <= 1.0
