"""Compute-optimal sizes on each pool."""

from decimal import Decimal

import pytest
from tests.unit.planner.builders import offer_of
from tests.unit.planner.space.questions import A100, H100, question_of

from farthing.api.amounts import Axis
from farthing.errors import InvalidSpec
from farthing.planner.allocation import allocate, chinchilla_optimum
from farthing.planner.space import explore, optimum

POOLS = (
    offer_of("a100", A100, accelerators=8, price_per_accelerator_hour=None), offer_of("h100", H100, accelerators=8),
)  # fmt: skip


def found(**changes):
    question = question_of(**changes)
    return question, optimum(question, explore(question))


def test_a_budget_of_flops_is_split_as_the_law_says():
    _question, answers = found(pools=POOLS, remaining={Axis.FLOPS: Decimal("1e21")}, critical_batch_tokens=None)
    assert {answer.pool for answer in answers} == {"a100", "h100"}
    for answer in answers:
        parameters, tokens = chinchilla_optimum(1e21)
        assert answer.allocation.parameters == pytest.approx(parameters, rel=1e-3)
        assert answer.allocation.tokens == pytest.approx(tokens, rel=1e-3)
        assert answer.accelerator_hours == pytest.approx(1e21 / answer.flops_per_second / 3600)
        assert answer.binding == Axis.FLOPS
    assert [answer.cost is None for answer in answers if answer.pool == "a100"] == [True]


def test_the_scarcest_limit_binds():
    limits = {Axis.COST: Decimal(100), Axis.FLOPS: Decimal("1e25"), Axis.ACCELERATOR_HOURS: Decimal(1000)}
    _, (answer,) = found(pools=POOLS[1:], remaining=limits)
    assert answer.binding == Axis.COST
    assert answer.cost == pytest.approx(100)
    _, (answer,) = found(pools=POOLS[1:], remaining=limits, seconds_left=3600.0)
    assert answer.binding == "deadline"
    _, (answer,) = found(pools=POOLS[1:], remaining={Axis.ACCELERATOR_HOURS: Decimal(50)})
    assert answer.accelerator_hours == pytest.approx(50)


def test_the_best_of_given_sizes_is_named():
    question = question_of(pools=POOLS[1:], remaining={Axis.FLOPS: Decimal("1e21")})
    sizes = {"small": 1e8, "middle": 2.5e9, "large": 1e11}
    (answer,) = optimum(question, explore(question), sizes)
    assert answer.nearest == "middle"
    assert answer.allocation.loss.value == pytest.approx(allocate(1e21, parameters=2.5e9).loss.value)


def test_what_has_no_optimum_is_refused():
    question = question_of()
    with pytest.raises(InvalidSpec, match="limit flops"):
        optimum(question, explore(question))
    tuned = question_of(pretrained=True)
    with pytest.raises(InvalidSpec, match="fine-tuning"):
        optimum(tuned, explore(tuned))
