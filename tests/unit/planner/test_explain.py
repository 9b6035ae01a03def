"""A plan set in words and in margins."""

from decimal import Decimal

import pytest
from tests.unit.planner.builders import ask_of, offer_of

from farthing.api.amounts import Axis
from farthing.errors import NoPlan
from farthing.planner import explain, marginal, plan, refusal
from farthing.planner.loss import loss_value


def test_says_what_was_chosen_and_on_which_numbers():
    text = "\n".join(explain(plan(ask_of())))
    for part in ("chosen: 1 x 1 cpu-slot", "optimizer states", "tokens/s", "USD", "final loss", "cost ends it", "next:"):
        assert part in text


def test_says_why_nothing_fits_and_by_how_much():
    plans = plan(ask_of("llama-3.1-70b", pools=(offer_of("t4", "T4"),), remaining={Axis.COST: Decimal(9999)}, global_batch=32))
    assert explain(plans)[0] == refusal(plans)
    assert "of 14.56" in refusal(plans)


def test_the_margin_of_the_binding_axis_is_the_slope_of_the_law():
    request = ask_of(remaining={Axis.TOKENS: Decimal(1_024_000)})
    slope = (loss_value(request.shape, 1.01 * 1_024_000) - loss_value(request.shape, 1_024_000)) / 10_240
    assert marginal(request, "tokens") == pytest.approx(slope)
    assert marginal(plan(request), "tokens") == marginal(request, "tokens") < 0


def test_an_axis_that_does_not_bind_is_worth_nothing():
    request = ask_of(remaining={Axis.TOKENS: Decimal(1_024_000), Axis.COST: Decimal(5)}, seconds_left=9999.0)
    assert marginal(request, "cost") == 0.0
    assert marginal(request, "deadline") == 0.0
    assert marginal(request, "tokens") < 0.0


def test_margins_of_unlimited_axes_and_of_nothing_are_errors():
    with pytest.raises(ValueError, match="'flops' has no marginal; there is one for cost"):
        marginal(ask_of(), "flops")
    with pytest.raises(ValueError, match="there is one for no axis"):
        marginal(ask_of(pretrained=True), "cost")
    with pytest.raises(NoPlan, match="budget:cost"):
        marginal(ask_of(remaining={Axis.COST: Decimal("0.0001")}), "cost")
