"""What cannot be used is refused with the reason, and each rejection says by how much."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.planner.builders import offer_of
from tests.unit.planner.space.questions import A100, H100, L4, fixed, question_of

from farthing.api.amounts import Axis
from farthing.errors import InvalidSpec
from farthing.planner.space import explore

FEW = settings(max_examples=15, deadline=None)
NODE = (offer_of("h100", H100, accelerators=8),)
SMALL = (offer_of("l4", L4, accelerators=1, accelerators_per_node=1),)


@pytest.mark.parametrize(
    ("knobs", "field", "way_out"),
    [
        (fixed(tp="3"), "tp", "32 heads"), (fixed(tp="16"), "tp", "8 key-value heads"), (fixed(pp="5"), "pp", "16 layers"),
        (fixed(vpp="3"), "vpp", "layers of a stage"), (fixed(cp="3"), "cp", "2048 tokens"),
        (fixed(ep="2"), "ep", "routed experts"),
        (fixed(devices="64"), "devices", "at most 8"),
        (fixed(micro_batch="3"), "micro_batch", "global batch of 16"), (fixed(adapter="LoRA"), "adapter", "pretrained"),
        (fixed(tp="2", devices="1"), "tp, devices", "free one"), (fixed(pp="2", sharding="ZeRO2"), "pp, sharding", "free one"),
    ],
)  # fmt: skip
def test_an_impossible_knob_is_named_with_its_value_and_the_way_out(knobs, field, way_out):
    with pytest.raises(InvalidSpec, match=way_out) as fault:
        explore(question_of(pools=NODE, fixed=knobs))
    assert fault.value.field == field
    assert fault.value.value == ", ".join(", ".join(values) for values in knobs.values())


def test_states_of_few_bits_cannot_wait_on_the_host():
    with pytest.raises(InvalidSpec, match="updated on the accelerator alone") as fault:
        explore(question_of(pools=NODE, fixed=fixed(offload="true", optimizer="AdamW8bit")))
    assert (fault.value.field, fault.value.value) == ("optimizer", "AdamW8bit")


def test_a_precision_that_no_device_has():
    with pytest.raises(InvalidSpec, match="A100-80GB-SXM cannot"):
        explore(question_of(pools=(offer_of("a100", A100),), fixed=fixed(precision="fp8")))


def test_a_quantized_base_computes_in_16_bits_and_is_not_split():
    with pytest.raises(InvalidSpec, match="4 bits"):
        explore(question_of(pools=NODE, pretrained=True, fixed=fixed(adapter="QLoRA", precision="fp8")))
    with pytest.raises(InvalidSpec, match="free one"):
        explore(question_of(pools=NODE, pretrained=True, fixed=fixed(adapter="QLoRA", tp="2")))


def test_a_pool_that_lacks_what_is_fixed_is_rejected_beside_one_that_has_it():
    pools = (offer_of("a100", A100, accelerators=4), *NODE)
    found = explore(question_of(pools=pools, fixed=fixed(precision="fp8"))).rejections
    assert [(each.family, each.constraint) for each in found] == [("a100, fp8 on A100-80GB-SXM", "precision")]
    found = explore(question_of(pools=pools, fixed=fixed(devices="8"))).rejections
    assert [(each.family, each.needs, each.has) for each in found] == [("a100", 8, 4)]
    found = explore(question_of(pools=(offer_of("a100", A100, accelerators=4), *NODE), fixed=fixed(tp="8"))).rejections
    assert [(each.family, each.constraint) for each in found] == [("a100, tp=8", "strategy")]


def test_memory_is_told_by_how_much_in_the_member_that_came_closest():
    space = explore(question_of("llama-3.1-8b", pools=SMALL, fixed=fixed(offload="false"), global_batch=1))
    assert space.choices == ()
    assert space.front == ()
    assert {each.constraint for each in space.rejections} == {"memory"}
    closest = space.rejections[0]
    assert closest.unit == "GiB"
    assert closest.has == pytest.approx(21.8, abs=1)
    assert closest.family == "l4 float32 None ac=None, at best x1 mb=1 AdamW8bit"  # bfloat16 would add its copy of the weights
    ratios = [each.needs / each.has for each in space.rejections]
    assert ratios == sorted(ratios)
    assert len({each.family for each in space.rejections}) == len(space.rejections) <= 8


def test_a_family_with_a_usable_member_is_not_rejected():
    space = explore(question_of(pools=NODE))
    assert space.rejections == ()


BUDGETS = st.sampled_from([
    {Axis.COST: Decimal("0.001")}, {Axis.ACCELERATOR_HOURS: Decimal("0.001")}, {Axis.TOKENS: Decimal(1)},
    {Axis.FLOPS: Decimal(1000)},
    {Axis.ENERGY: Decimal("0.00001")}, {Axis.COST: Decimal("0.02")}, {Axis.COST: Decimal(0)},
])  # fmt: skip


@FEW
@given(
    BUDGETS,
    st.none() | st.sampled_from([1.0, 70.0]),
    st.sampled_from([86400.0, 1.0]),
    st.sampled_from(["llama-3.2-1b", "llama-3.1-8b"]),
)
def test_every_rejection_needs_more_than_it_has(budget, seconds_left, mean, model):
    pools = (*SMALL, offer_of("h100", H100, accelerators=2, mean_time_between_failures=mean))
    space = explore(question_of(model, pools=pools, remaining=budget, seconds_left=seconds_left))
    assert space.rejections or space.choices
    for rejection in space.rejections:
        assert rejection.needs > rejection.has
        assert rejection.constraint.split(":")[0] in ("memory", "budget", "failures")


def test_a_budget_that_buys_no_step_says_what_one_step_takes():
    space = explore(question_of(pools=NODE, remaining={Axis.COST: Decimal("0.001")}))
    assert space.choices == ()
    assert {each.constraint for each in space.rejections} == {"budget:cost"}
    assert {each.unit for each in space.rejections} == {"USD"}


def test_a_pool_that_fails_before_it_saves_says_so():
    pools = (offer_of("storm", H100, accelerators=1, mean_time_between_failures=0.05, startup_seconds=60.0),)
    space = explore(question_of(pools=pools))
    assert {each.constraint for each in space.rejections} == {"failures"}
