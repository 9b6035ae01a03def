from decimal import Decimal
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ledger.builders import plan, quote

from farthing.api.amounts import Axis
from farthing.domain.decision import Lease
from farthing.errors import InsufficientBudget, MissingPrice
from farthing.ledger.arithmetic import accelerator_hours, money, ticks
from farthing.ledger.lease import MAX_LEASE_SECONDS, grant, hard_seconds

MONEY = st.decimals("0.05", "1e6", places=6)


def granted(remaining: dict[Axis, Decimal], **given_: Any) -> Lease:
    values: dict[str, Any] = {
        "quote": quote("0.5"),
        "seconds_to_deadline": None,
        "control_period": 5,
        "controller_lag": 5,
        "startup_timeout": 60,
        "tokens_limit": None,
    }
    return grant(plan(), remaining, **{**values, **given_})


def test_money_buys_seconds_of_the_gang() -> None:
    assert hard_seconds({Axis.COST: Decimal("0.06")}, 2, Decimal("0.5"), None) == (216.0, "cost")


def test_the_earliest_bound_binds() -> None:
    remaining = {Axis.COST: Decimal("0.06"), Axis.ACCELERATOR_HOURS: Decimal("0.1")}
    assert hard_seconds(remaining, 2, Decimal("0.5"), None) == (180.0, "acceleratorHours")
    assert hard_seconds(remaining, 2, Decimal("0.5"), 30.5) == (30.5, "deadline")
    assert hard_seconds(remaining, 2, Decimal("0.5"), -3) == (0.0, "deadline")


def test_tokens_and_flops_bind_no_seconds() -> None:
    assert hard_seconds({Axis.TOKENS: Decimal(5), Axis.FLOPS: Decimal(5)}, 2, None, None) == (inf, "none")


def test_a_free_pool_is_never_bound_by_money() -> None:
    assert hard_seconds({Axis.COST: Decimal(1)}, 2, Decimal(0), None) == (inf, "none")


def test_money_without_a_price_is_an_error_never_a_zero() -> None:
    with pytest.raises(MissingPrice, match=r"spec\.price"):
        hard_seconds({Axis.COST: Decimal(1)}, 2, None, None)


def test_a_lease_holds_what_its_hard_end_costs() -> None:
    lease = granted({Axis.COST: Decimal("0.06")})
    assert lease.ends.hard == 216
    assert lease.held == {Axis.COST: Decimal("0.06")}
    assert lease.lands
    assert lease.binding == "cost"
    assert (lease.flops, lease.tokens) == (None, None)


def test_a_lease_that_the_run_does_not_need_whole_is_shorter_and_does_not_land() -> None:
    lease = granted({Axis.COST: Decimal("0.06")}, seconds_wanted=100)
    assert (lease.ends.hard, lease.lands, lease.binding) == (100, False, "wanted")
    assert lease.held[Axis.COST] < Decimal("0.03")


def test_a_deadline_lands() -> None:
    lease = granted({Axis.COST: Decimal("0.06")}, seconds_to_deadline=120.0)
    assert (lease.ends.hard, lease.lands, lease.binding) == (120, True, "deadline")


def test_a_token_budget_ends_by_its_tokens() -> None:
    lease = granted({Axis.TOKENS: Decimal(40_000), Axis.FLOPS: Decimal("1e12")}, tokens_limit=150_000, seconds_wanted=300)
    assert lease.lands
    assert (lease.tokens, lease.flops, lease.binding) == (150_000, 1e12, "tokens")
    assert lease.held == {Axis.TOKENS: Decimal(40_000), Axis.FLOPS: Decimal("1e12")}
    assert granted({Axis.TOKENS: Decimal(40_000)}, tokens_limit=150_000).ends.hard == MAX_LEASE_SECONDS


def test_the_account_binds_where_it_has_less() -> None:
    lease = granted(
        {Axis.COST: Decimal("0.06"), Axis.TOKENS: Decimal(900)},
        account_remaining={Axis.COST: Decimal("0.05"), Axis.TOKENS: Decimal(500), Axis.ACCELERATOR_HOURS: Decimal(1)},
        account_name="team-a",
        tokens_limit=1000,
        tokens_done=100,
    )
    assert lease.ends.hard == 180
    assert lease.binding == "account team-a: cost"
    assert lease.lands
    assert lease.held == {
        Axis.COST: Decimal("0.05"),
        Axis.TOKENS: Decimal(500),
        Axis.ACCELERATOR_HOURS: accelerator_hours(2, 180),
    }
    assert lease.tokens == 600


def test_hours_alone_need_no_price() -> None:
    lease = granted({Axis.ACCELERATOR_HOURS: Decimal("0.1")}, quote=quote(None))
    assert (lease.ends.hard, lease.held) == (180, {Axis.ACCELERATOR_HOURS: Decimal("0.1")})


@pytest.mark.parametrize("axis", [Axis.TOKENS, Axis.FLOPS, Axis.COST])
def test_an_axis_that_is_used_up_is_named(axis: Axis) -> None:
    with pytest.raises(InsufficientBudget, match=rf"the job's budget has no {axis} left: raise limits\.{axis}"):
        granted({axis: Decimal("0.0000001")})
    with pytest.raises(InsufficientBudget, match=f"account team-a has no {axis} left"):
        granted({Axis.COST: Decimal(1)}, account_remaining={axis: Decimal(0)}, account_name="team-a")


@given(left=MONEY, price=st.decimals("0.000001", "90", places=6), hours=MONEY, pods=st.integers(1, 64), shared=MONEY)
def test_what_is_held_never_exceeds_what_is_left(
    left: Decimal, price: Decimal, hours: Decimal, pods: int, shared: Decimal
) -> None:
    try:
        lease = grant(
            plan(pods=pods),
            {Axis.COST: left, Axis.ACCELERATOR_HOURS: hours},
            account_remaining={Axis.COST: shared},
            account_name="a",
            quote=quote(f"{price:f}"),
            seconds_to_deadline=None,
            control_period=5,
            controller_lag=5,
            startup_timeout=60,
            tokens_limit=None,
        )
    except InsufficientBudget:
        return
    assert lease.held[Axis.COST] <= min(left, shared)
    assert lease.held[Axis.ACCELERATOR_HOURS] <= hours
    assert lease.held[Axis.COST] == money(ticks(price, pods, lease.ends.hard))
    bought = min(left, shared) * 3600 / (price * pods)
    assert lease.ends.hard + 1 > min(bought, hours * 3600 / pods, MAX_LEASE_SECONDS), "no second is given away"
