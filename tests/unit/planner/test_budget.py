"""What a budget buys: the binding limit, the fixed costs, never more than there is."""

from dataclasses import replace
from decimal import Decimal
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.api.amounts import Axis
from farthing.planner.budget import Meter, checkpoint_waste, purchase

METER = Meter(
    step_seconds=0.25, startup_seconds=18.0, reserve_seconds=40.0, checkpoint_seconds=3.0, waste=0.01,
    tokens_per_step=1024, flops_per_token=6.8e6, accelerators=2, price_per_hour=1.0,
)  # fmt: skip

limits = st.fixed_dictionaries(
    {},
    optional={
        Axis.COST: st.decimals("0", "100", places=6),
        Axis.ACCELERATOR_HOURS: st.decimals("0", "1000", places=6),
        Axis.FLOPS: st.decimals("0", "1e18", places=0),
        Axis.TOKENS: st.decimals("0", "1e12", places=0),
    },
).filter(bool)


@given(limits, st.sampled_from(list(Axis)[:4]), st.decimals("0", "1000", places=3), st.none() | st.floats(0, 1e6))
def test_more_budget_never_buys_fewer_tokens(remaining, axis, more, seconds):
    if axis in remaining:
        richer = {**remaining, axis: remaining[axis] + more}
        assert purchase(METER, richer, seconds).tokens >= purchase(METER, remaining, seconds).tokens


@given(limits, st.none() | st.floats(0, 1e6))
def test_what_is_bought_fits_every_limit(remaining, seconds):
    bought = purchase(METER, remaining, seconds)
    if bought.steps == 0:
        return
    assert bought.cost <= float(remaining.get(Axis.COST, Decimal("Infinity"))) + 1e-9
    assert bought.seconds * 2 / 3600 <= float(remaining.get(Axis.ACCELERATOR_HOURS, Decimal("Infinity"))) + 1e-9
    assert bought.flops <= float(remaining.get(Axis.FLOPS, Decimal("Infinity"))) * (1 + 1e-12)
    assert bought.tokens <= remaining.get(Axis.TOKENS, Decimal("Infinity"))
    assert seconds is None or bought.seconds <= seconds + 1e-9


def test_start_up_and_reserve_are_paid_before_the_first_token():
    bought = purchase(METER, {Axis.COST: Decimal("0.06")}, None)  # 216 s of the gang
    assert bought.steps == int((216 - 18 - 40) / (0.25 * 1.01))
    assert bought.seconds == pytest.approx(18 + bought.steps * 0.25 * 1.01 + 3)


def test_the_smallest_limit_binds():
    remaining = {Axis.COST: Decimal(1), Axis.TOKENS: Decimal(2048)}
    assert purchase(METER, remaining, None).binding == "tokens"
    assert purchase(METER, remaining, 60.0).binding == "tokens"
    assert purchase(METER, remaining, 58.3).binding == "deadline"


def test_nothing_is_bought_where_the_start_is_too_dear():
    assert purchase(METER, {Axis.COST: Decimal("0.001")}, None).tokens == 0


def test_a_run_without_an_end_is_refused():
    with pytest.raises(ValueError, match="at least one limited axis"):
        purchase(METER, {}, None)


def test_money_without_a_price_is_refused():
    with pytest.raises(ValueError, match="cost is limited, and the pool has no price"):
        purchase(replace(METER, price_per_hour=None), {Axis.COST: Decimal(1)}, None)
    assert purchase(replace(METER, price_per_hour=None), {Axis.TOKENS: Decimal(2048)}, None).cost is None


def test_checkpoint_waste_is_young_and_dalys():
    assert checkpoint_waste(60.0, 7200.0) == pytest.approx(0.129, abs=0.001)


@given(st.floats(0.1, 60.0), st.floats(1e4, 1e7))
def test_the_waste_of_rare_failures_is_the_root_of_twice_their_ratio(save, between):
    """√(2C/M), Young 1974: what Daly's interval costs more is of the order of C/M."""
    assert checkpoint_waste(save, between) == pytest.approx((2 * save / between) ** 0.5, rel=2 * save / between)


def test_nothing_is_wasted_where_nothing_fails_or_saves_are_free():
    assert checkpoint_waste(60.0, inf) == checkpoint_waste(0.0, 7200.0) == 0.0
