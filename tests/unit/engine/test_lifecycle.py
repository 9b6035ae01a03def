"""The lifecycle is total, and each cell is what the design says."""

import pytest

from farthing.engine.lifecycle import TABLE, Observation, State, Step, next_step

IDLE = (State.NEW, State.QUEUED, State.INVALID, State.SUSPENDED, State.COMPLETE, State.FAILED)
HOLDING = (State.OPENED, State.STARTING, State.RUNNING, State.STOPPING, State.ENDING, State.NOT_MANAGED, State.DELETED)
LIVE = (State.STARTING, State.RUNNING)

EXPECTED: dict[tuple[State, Observation], Step] = {
    **{(state, Observation.LEFTOVERS): Step.CLEAN for state in State},
    **{(state, Observation.STALE_HOLD): Step.RELEASE_HOLD for state in State},
    **{(state, Observation.OVER): Step.SETTLE for state in HOLDING},
    **{(state, Observation.HARD_END_PASSED): Step.SETTLE for state in HOLDING},
    **{(state, Observation.CHOSEN): Step.OPEN for state in (State.NEW, State.QUEUED)},
    **{(state, Observation.WAITING): Step.WAIT for state in (State.NEW, State.QUEUED, State.INVALID)},
    **{(state, Observation.EXPIRED): Step.DELETE for state in (State.COMPLETE, State.FAILED)},
    **{
        (state, seen): Step.ASK
        for state in LIVE
        for seen in (Observation.DELETE_WANTED, Observation.SUSPEND_WANTED, Observation.PREEMPTED)
    },
    **{(state, Observation.SHRUNK): Step.SHORTEN for state in (*LIVE, State.STOPPING)},
    **{(state, Observation.PRICE_MOVED): Step.QUOTE for state in (*LIVE, State.STOPPING)},
    **{(state, Observation.BOUND): Step.TIGHTEN for state in (*LIVE, State.STOPPING)},
    (State.STARTING, Observation.LATE): Step.END,
    (State.STOPPING, Observation.LATE): Step.END,
    (State.DELETED, Observation.LATE): Step.END,
    (State.DELETED, Observation.DELETE_WANTED): Step.END,
    (State.OPENED, Observation.HALF_MADE): Step.CONTINUE,
    (State.OPENED, Observation.GANG_FITS): Step.RELEASE,
    (State.STOPPING, Observation.ACKNOWLEDGED): Step.END,
    (State.STOPPING, Observation.UNANSWERED): Step.END,
    (State.STOPPING, Observation.ASKED): Step.POST,
    (State.STOPPING, Observation.JOB_GONE): Step.ASK,
}
"""Everything that is not REST, written a second time by hand."""


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("seen", list(Observation))
def test_every_pair_has_the_step_that_the_design_wants(state: State, seen: Observation) -> None:
    assert TABLE[state, seen] is EXPECTED.get((state, seen), Step.REST)


def test_the_table_is_total() -> None:
    assert len(TABLE) == len(State) * len(Observation)


def test_a_bill_is_opened_only_where_none_is_open() -> None:
    for state in HOLDING:
        assert Step.OPEN not in {TABLE[state, seen] for seen in Observation}


def test_a_bill_is_settled_only_where_one_is_open() -> None:
    for state in IDLE:
        assert Step.SETTLE not in {TABLE[state, seen] for seen in Observation}


def test_the_first_observation_that_asks_for_something_decides() -> None:
    seen = [Observation.GANG_FITS, Observation.OVER, Observation.SUSPEND_WANTED]
    assert next_step(State.RUNNING, seen) == (Step.SETTLE, Observation.OVER)


def test_nothing_to_do_is_rest() -> None:
    assert next_step(State.COMPLETE, [Observation.WAITING]) == (Step.REST, None)
    assert next_step(State.QUEUED, []) == (Step.REST, None)
