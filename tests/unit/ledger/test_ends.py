import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ledger.builders import plan

from farthing.errors import InsufficientBudget
from farthing.ledger.ends import MINIMUM_GRACE_SECONDS, grace_seconds, nested_ends

SECONDS = st.floats(0.1, 600)


def test_ends_follow_the_formula_of_the_design() -> None:
    ends = nested_ends(216.9, grace=12, checkpoint_seconds=2.5, control_period=5, controller_lag=5, startup_timeout=600)
    assert ends.hard == 216
    assert ends.job == 216 - 12 - 5 - 2
    assert ends.pod == ends.job - 2
    assert ends.supervisor == ends.pod - 3
    assert ends.trainer == ends.supervisor - 8
    assert (ends.grace, ends.startup_timeout) == (12, 600)


@given(st.floats(1, 1e7), SECONDS, SECONDS, SECONDS, SECONDS)
def test_ends_are_strictly_nested_or_refused_with_numbers(
    hard: float, grace: float, write: float, period: float, lag: float
) -> None:
    try:
        ends = nested_ends(
            hard, grace=grace, checkpoint_seconds=write, control_period=period, controller_lag=lag, startup_timeout=60
        )
    except InsufficientBudget as error:
        assert hard < grace + write + period + lag + 7 + 6
        raise_budget = f"buys {int(hard)} s"
        assert raise_budget in str(error)  # noqa: PT017 - a refusal is one of two legal answers
        return
    assert 0 < ends.trainer < ends.supervisor < ends.pod <= ends.job < ends.hard <= hard
    assert ends.supervisor - ends.trainer >= write + period
    assert ends.job + lag + ends.grace + 2 <= ends.hard
    assert ends.grace >= grace


def test_a_lease_too_short_says_what_the_reserve_is_made_of() -> None:
    with pytest.raises(
        InsufficientBudget, match=r"buys 30 s .*grace 12 s, controller lag 5 s, checkpoint 2\.5 s.*raise the budget"
    ):
        nested_ends(30, grace=12, checkpoint_seconds=2.5, control_period=5, controller_lag=5, startup_timeout=60)


def test_grace_covers_a_step_and_a_write_and_is_never_tiny() -> None:
    assert grace_seconds(plan()) == MINIMUM_GRACE_SECONDS
