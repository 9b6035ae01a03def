"""After a kill for memory the next attempt needs less, and is given no less; else it is given more."""

from decimal import Decimal

import pytest
from tests.unit.planner.builders import ask_of, offer_of

from farthing.api.amounts import Axis
from farthing.api.job import StrategySpec
from farthing.planner import plan
from farthing.units import GIB


def best(steps: int, **changes: object):
    values = {"min_accelerators": 2, "remaining": {Axis.TOKENS: Decimal(150_000)}, "memory_steps": steps}
    return plan(ask_of(**{**values, **changes})).best


@pytest.mark.parametrize("steps", range(1, 6))
def test_each_step_needs_less_or_is_given_more(steps):
    before, after = best(steps - 1), best(steps)
    needs_less = after.memory.model_bytes <= 0.8 * before.memory.model_bytes
    given_more = after.memory_request_bytes >= 1.25 * before.memory_request_bytes
    assert needs_less or given_more
    assert after.memory_request_bytes >= before.memory_request_bytes


def test_first_a_smaller_micro_batch_then_checkpointing_then_more_room():
    told = [best(steps) for steps in range(4)]
    assert [p.strategy.micro_batch for p in told] == [2, 1, 1, 1]
    assert [p.strategy.activation_checkpointing for p in told] == ["None", "None", "Full", "Full"]
    assert told[3].memory_request_bytes > told[2].memory_request_bytes


def test_a_fixed_strategy_leaves_only_more_room():
    fixed = StrategySpec(micro_batch_size=2, activation_checkpointing="None", sharding="None")
    before, after = best(0, fixed=fixed), best(1, fixed=fixed)
    assert after.strategy == before.strategy
    assert after.memory_request_bytes >= 1.25 * before.memory_request_bytes


def test_steps_end_where_the_pool_does():
    plans = plan(ask_of(memory_steps=30, remaining={Axis.TOKENS: Decimal(150_000)}, pools=(offer_of(memory_bytes=2 * GIB),)))
    assert plans.best is None
    assert "nothing leaner or larger fits" in plans.notes[-1]


def test_every_step_is_told():
    assert len(plan(ask_of(memory_steps=2)).notes) == 2
    assert "was killed for memory" in plan(ask_of(memory_steps=1)).notes[0]


def test_a_gpu_is_never_overcommitted():
    changes = {"pools": (offer_of("a100", "A100-80GB-SXM"),), "sequence_length": 4096, "global_batch": 64}
    for steps in range(6):
        found = plan(ask_of("llama-3.1-8b", memory_steps=steps, remaining={Axis.COST: Decimal(5000)}, **changes)).best
        assert found is None or found.memory.safe_bytes <= 79.1 * GIB
