"""What people read of a plan: a measurement stands beside the plan that was measured, and beside no other."""

import pytest
from tests.unit.planner.builders import ask_of

from farthing.api.job import StrategySpec
from farthing.engine.plan_status import plan_status
from farthing.planner import plan


def chosen(**fixed):
    best = plan(ask_of(fixed=StrategySpec(micro_batch_size=1, precision="float32", **fixed))).best
    assert best is not None
    return best


def shown(of, previous=None, **measured):
    return plan_status(of, None, previous, measured=measured, memory_step=0, global_batch=4)


def test_a_plan_keeps_what_was_measured_of_it_before():
    first = shown(chosen(activation_checkpointing="None"), tokensPerSecond=900.0)
    again = shown(chosen(activation_checkpointing="None"), first)
    assert again.predictions["tokensPerSecond"].measured == "900"


@pytest.mark.parametrize(
    "other", [{"activation_checkpointing": "Full"}, {"activation_checkpointing": "None", "sharding": "None"}]
)
def test_another_plan_does_not(other):
    first = shown(chosen(activation_checkpointing="None", sharding="FullShard"), tokensPerSecond=900.0)
    assert shown(chosen(**{"sharding": "FullShard", **other}), first).predictions["tokensPerSecond"].measured is None
