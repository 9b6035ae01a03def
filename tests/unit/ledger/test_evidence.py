from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ledger.builders import ENDS, T0, after, attempt, job, pod, progress, record, running, unbound

from farthing.api.spend import SpendRecordStatus
from farthing.domain.snapshot import Attempt, PodFacts
from farthing.ledger.evidence import ever_bound, held_time
from farthing.units import format_time

NOW = after(150)
LATER = after(1000)


def test_from_the_earliest_bind_to_a_second_after_the_last_container() -> None:
    first = pod(0, bound_at=after(2.7), started_at=after(3.2), finished_at=after(90))
    last = pod(1, bound_at=after(4), started_at=after(1.9), finished_at=after(100))
    held = held_time(attempt(first, last), NOW)
    assert (held.start, held.end, held.seconds) == (after(1), after(101), 100)
    assert not held.estimated
    assert held.overrun_seconds == 0


def test_nothing_is_held_before_a_bind() -> None:
    for nothing in (
        attempt(),
        attempt(unbound(0), unbound(1)),
        attempt(job=None),
        attempt(job=job(failed_reason="DeadlineExceeded")),
    ):
        assert held_time(nothing, NOW).seconds == 0
        assert not ever_bound(nothing)


def test_a_running_attempt_is_held_until_now() -> None:
    held = held_time(attempt(running(0), pod(1)), after(149.5))
    assert (held.end, held.estimated) == (NOW, False)


def test_a_container_that_never_started_is_held_until_its_pod_was_terminal() -> None:
    never = {"finished_at": None, "exit_code": 137, "container_reason": "ContainerStatusUnknown"}
    held = held_time(attempt(pod(0, terminal_at=after(60), **never), pod(1, terminal_at=after(50.5), **never)), NOW)
    assert (held.end, held.estimated) == (after(60), False)
    deleted = held_time(attempt(pod(0, deleted_at=after(70.5), **never), pod(1)), NOW)
    assert (deleted.end, deleted.estimated) == (after(101), False), "the other pod's end is later, and certain"
    alone = held_time(attempt(pod(0, deleted_at=after(170.5), **never), pod(1)), LATER)
    assert (alone.end, alone.estimated) == (after(171), True)


def test_a_pod_without_any_time_falls_back_on_the_job() -> None:
    blank = pod(0, finished_at=None, exit_code=1)
    ended = held_time(attempt(blank, pod(1), job=job(failed=True, finished_at=after(120))), NOW)
    assert (ended.end, ended.estimated) == (after(120), True)
    gone = held_time(attempt(blank, pod(1), job=None), LATER)
    assert (gone.end, gone.estimated) == (after(1 + ENDS.hard), True)


def test_no_pod_left_means_the_jobs_final_transition() -> None:
    held = held_time(attempt(job=job(complete=True, started_at=after(1), finished_at=after(121))), NOW)
    assert (held.start, held.end, held.estimated) == (after(1), after(121), True)
    assert "Job's final transition" in held.why


def test_no_job_left_means_the_hard_end() -> None:
    held = held_time(attempt(job=None, progress=progress(), progress_at=after(50)), LATER)
    assert (held.start, held.seconds, held.estimated) == (T0, ENDS.hard, True)
    noted = record(status=SpendRecordStatus(started_at=format_time(after(3))))
    held = held_time(attempt(job=None, record=noted), LATER)
    assert (held.start, held.seconds, held.estimated) == (after(3), ENDS.hard, True)


def test_a_pod_that_is_missing_may_have_been_the_last() -> None:
    held = held_time(attempt(pod(0), job=job(failed=True, finished_at=after(130))), NOW)
    assert (held.end, held.estimated) == (after(130), True)
    assert held_time(attempt(pod(0), job=job()), NOW).end == NOW


@pytest.mark.parametrize(
    "facts", [{"exit_code": 255, "container_reason": "Error"}, {"exit_code": 137, "container_reason": "Unknown"}]
)
def test_a_node_that_came_back_reports_its_own_return(facts: dict[str, object]) -> None:
    held = held_time(attempt(pod(0, **facts), pod(1, finished_at=after(20))), NOW)
    assert (held.end, held.estimated) == (after(101), True)


def test_an_unreachable_node_is_billed_up_to_the_hard_end_and_the_pool_after() -> None:
    lost = attempt(running(0), pod(1), unreachable_nodes=("n1",))
    assert held_time(lost, NOW).estimated
    held = held_time(lost, after(300))
    assert (held.seconds, held.overrun_seconds, held.estimated) == (ENDS.hard, 300 - ENDS.hard - 1, True)
    assert "unreachable" in held.why


def test_an_attempt_that_outlives_its_hard_end_is_not_hidden() -> None:
    held = held_time(attempt(pod(0, finished_at=after(400)), pod(1)), LATER)
    assert (held.seconds, held.overrun_seconds) == (ENDS.hard, 400 + 1 - ENDS.hard - 1)
    assert "hard end" in held.why


def test_an_end_before_the_start_is_no_time() -> None:
    backwards = {"bound_at": after(50), "started_at": after(50), "finished_at": after(20)}
    held = held_time(attempt(pod(0, **backwards), pod(1, **backwards)), NOW)
    assert (held.seconds, held.estimated) == (0, True)


def test_clocks_that_disagree_by_more_than_five_seconds_bill_the_longer_time() -> None:
    answered = held_time(attempt(pod(0), pod(1), progress=progress(), progress_at=after(110)), NOW)
    assert (answered.end, answered.estimated) == (after(110), True)
    agreed = held_time(attempt(pod(0), pod(1), progress=progress(), progress_at=after(106)), NOW)
    assert (agreed.end, agreed.estimated) == (after(101), False)
    ahead = held_time(attempt(pod(0), pod(1)), after(90))
    assert (ahead.end, ahead.estimated) == (after(101), True)


def test_a_bind_that_contradicts_the_operators_clock_is_the_earlier_one() -> None:
    early = attempt(pod(0, bound_at=after(-30), started_at=after(-30)), pod(1))
    assert (held_time(early, NOW).start, held_time(early, NOW).estimated) == (after(-30), True)
    ahead = {"bound_at": after(60), "started_at": after(60)}
    held = held_time(attempt(running(0, **ahead), running(1, **ahead)), after(40))
    assert (held.start, held.estimated) == (after(40), True)


TIMES = st.none() | st.floats(-20, 600).map(after)


@st.composite
def any_pod(draw: st.DrawFn, index: int) -> PodFacts:
    return pod(
        index,
        phase=draw(st.sampled_from(["Pending", "Running", "Succeeded", "Failed"])),
        bound_at=draw(TIMES),
        started_at=draw(TIMES),
        finished_at=draw(TIMES),
        terminal_at=draw(TIMES),
        deleted_at=draw(TIMES),
        exit_code=draw(st.sampled_from([None, 0, 1, 75, 76, 64, 137, 143, 255])),
        container_reason=draw(st.sampled_from([None, "Error", "OOMKilled", "Unknown", "ContainerStatusUnknown"])),
        pod_reason=draw(st.sampled_from([None, "DeadlineExceeded", "Evicted"])),
        disrupted=draw(st.booleans()),
    )


@st.composite
def any_attempt(draw: st.DrawFn) -> Attempt:
    """Whatever Kubernetes may say or have forgotten, in any contradiction."""
    pods = tuple(draw(any_pod(index)) for index in range(draw(st.integers(0, 3))))
    its_job = draw(st.none() | st.just(job()))
    if its_job is not None:
        its_job = job(
            started_at=draw(TIMES),
            complete=draw(st.booleans()),
            failed=draw(st.booleans()),
            failed_reason=draw(st.sampled_from([None, "DeadlineExceeded", "PodFailurePolicy", "BackoffLimitExceeded"])),
            finished_at=draw(TIMES),
        )
    told = draw(st.none() | st.integers(0, 500).map(progress))
    noted = draw(st.none() | st.floats(0, 20).map(lambda second: format_time(after(second))))
    return attempt(
        *pods,
        job=its_job,
        record=record(status=SpendRecordStatus(started_at=noted)),
        progress=told,
        progress_at=draw(TIMES) if told is not None else None,
        unreachable_nodes=draw(st.sampled_from([(), ("n1",)])),
    )


@given(any_attempt(), st.floats(0, 1000).map(after))
def test_any_evidence_is_billed_in_whole_seconds_and_never_past_the_hard_end(what: Attempt, now: object) -> None:
    held = held_time(what, now)
    assert held.start <= held.end <= held.start + timedelta(seconds=ENDS.hard)
    assert held.start.microsecond == held.end.microsecond == 0
    assert held.overrun_seconds >= 0
    assert held.why
    assert held.seconds == 0 or ever_bound(what)
