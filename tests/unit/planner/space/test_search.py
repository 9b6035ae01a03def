"""The whole search: legal, obedient, deterministic, best first, and monotone in the budget."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.planner.builders import offer_of
from tests.unit.planner.space.questions import A100, H100, H200, L4, fixed, model_of, question_of

from farthing.api.amounts import Axis
from farthing.errors import InvalidSpec
from farthing.planner.loss import TokenWorth, predict_loss
from farthing.planner.space import KNOBS, explore
from farthing.planner.space.knobs import ADAPTERS

FEW = settings(max_examples=12, deadline=None)
TWO = (
    offer_of("a100", A100, accelerators=8, price_per_accelerator_hour=Decimal("1.5")),
    offer_of("h100", H100, accelerators=4, price_per_accelerator_hour=Decimal("2.5")),
)
MONEY = {Axis.COST: Decimal(50)}
KNOB_VALUES = {
    "precision": "bfloat16 fp8 float16 float32", "sharding": "None ZeRO1 ZeRO2 FullShard", "tp": "1 2 4",
    "sequence_parallel": "true false",
    "pp": "1 2", "vpp": "1 2 3", "cp": "1 2", "checkpointing": "None SelectiveOp Selective2 Full", "micro_batch": "1 2 16",
    "optimizer": "AdamW AdamW8bit adafactor muon", "attention": "eager sdpa flash", "loss": "eager fused_linear_ce chunked_ce",
    "compile": "true false", "offload": "true false", "devices": "1 2 4 8", "ep": "1",
}  # fmt: skip


def cost_of(choice):
    return np.inf if choice.cost is None else choice.cost.value


def key(choice):
    return (-choice.tokens.value, choice.seconds.value, cost_of(choice))


def test_choices_are_legal_and_their_terms_add_up():
    question = question_of(pools=TWO)
    space = explore(question)
    assert len(space.choices) >= 50
    assert space.looked_at > 10_000
    for choice in space.choices:
        layout = choice.layout
        assert layout.dp * layout.micro_batch * layout.accumulation == question.global_batch
        assert layout.dp * layout.tp * layout.pp * layout.cp == layout.devices
        assert sum(choice.time_terms.values()) == pytest.approx(choice.step_seconds.value)
        assert max(sum(phase.values()) for phase in choice.memory_terms.values()) == pytest.approx(choice.allocated)
        assert choice.allocated <= choice.reserved
        assert choice.allocated < choice.safe <= choice.capacity
        assert choice.tokens.value <= 2e9 < choice.tokens.value + question.global_batch * question.sequence_length
        assert choice.tokens_per_second.value * choice.step_seconds.value == pytest.approx(16 * 2048)
        assert choice.accelerator_hours.value == pytest.approx(choice.seconds.value * layout.devices / 3600)
        assert choice.binding == Axis.TOKENS


def test_choices_stand_best_first_one_a_family_and_agree_with_the_law():
    question = question_of(pools=TWO, remaining=MONEY)
    space = explore(question)
    assert [key(choice) for choice in space.choices] == sorted(key(choice) for choice in space.choices)
    families = Counter(
        replace(choice.layout, micro_batch=0, accumulation=0)
        for at, choice in enumerate(space.choices)
        if at not in space.front
    )
    assert set(families.values()) == {1}
    losses = [choice.loss.value for choice in space.choices]
    assert losses == sorted(losses)
    best = space.choices[0]
    assert (
        best.loss.value == predict_loss(model_of("llama-3.2-1b"), best.tokens.value, worth=TokenWorth(batch_tokens=32768)).value
    )


@FEW
@given(st.sampled_from([{Axis.TOKENS: Decimal("1e9")}, MONEY, {Axis.FLOPS: Decimal("1e19")}, {Axis.ENERGY: Decimal(20)}]))
def test_nothing_among_the_choices_beats_the_front(budget):
    space = explore(question_of(pools=TWO, remaining=budget), top=200)
    points = [(-choice.tokens.value, choice.seconds.value, cost_of(choice)) for choice in space.choices]
    assert space.front
    for member in space.front:
        mine = points[member]
        assert not any(all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine for other in points)


@pytest.mark.parametrize("knob", sorted(KNOB_VALUES))
def test_a_fixed_knob_is_respected_in_every_choice(knob):
    pools = (offer_of("h100", H100, accelerators=8),)
    for word in KNOB_VALUES[knob].split():
        space = explore(question_of("llama-110m", pools=pools, fixed=fixed(**{knob: word})))
        assert space.choices
        assert {str(getattr(choice.layout, knob)).lower() for choice in space.choices} == {word.lower()}


def test_every_knob_is_a_column_of_a_layout():
    assert set(KNOB_VALUES) | {"adapter"} == set(KNOBS)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_fine_tuning_is_told_in_tokens(adapter):
    space = explore(question_of(pretrained=True, fixed=fixed(adapter=adapter)))
    assert {choice.layout.adapter for choice in space.choices} == {adapter}
    assert all(choice.loss is None for choice in space.choices)
    assert any("no scaling law" in note for note in space.notes)


def test_free_adapters_are_all_looked_at():
    seen = {choice.layout.adapter for choice in explore(question_of(pretrained=True), top=5000).choices}
    assert seen == {"None", "LoRA", "QLoRA"}


@FEW
@given(st.integers(1, 500), st.floats(1.0, 20.0), st.sampled_from([Axis.COST, Axis.ACCELERATOR_HOURS, Axis.ENERGY]))
def test_more_of_a_budget_never_buys_fewer_tokens_nor_a_worse_loss(amount, factor, axis):
    less = explore(question_of("llama-110m", pools=TWO, remaining={axis: Decimal(amount) / 10}), top=1)
    more = explore(question_of("llama-110m", pools=TWO, remaining={axis: Decimal(amount) / 10 * Decimal(factor)}), top=1)
    if less.choices:
        assert more.choices[0].tokens.value >= less.choices[0].tokens.value
        assert more.choices[0].loss.value <= less.choices[0].loss.value


def test_the_same_question_has_the_same_answer_whatever_the_order_of_its_pools():
    one = explore(question_of(pools=TWO, remaining=MONEY))
    assert explore(question_of(pools=TWO, remaining=MONEY)) == one
    assert explore(question_of(pools=TWO[::-1], remaining=MONEY)) == one


def test_top_cuts_all_but_the_front():
    whole, cut = explore(question_of(pools=TWO), top=400), explore(question_of(pools=TWO), top=3)
    assert cut.choices[:3] == whole.choices[:3]
    assert [cut.choices[at] for at in cut.front] == [whole.choices[at] for at in whole.front]
    assert len(cut.choices) <= 3 + len(TWO) + len(cut.front)
    assert {choice.layout.pool for choice in cut.choices} == {"a100", "h100"}


def test_a_larger_space_is_never_worse():
    free, tied = question_of(pools=TWO, remaining=MONEY), fixed(checkpointing="Full", precision="bfloat16")
    assert key(explore(free).choices[0]) <= key(explore(replace(free, fixed=tied)).choices[0])


@pytest.mark.parametrize("checkpointing", ["None", "SelectiveOp", "Selective2", "Full"])
@pytest.mark.parametrize("offload", ["true", "false"])
def test_nothing_is_lost_by_passing_over(checkpointing, offload):
    """The best of any fixed checkpointing and offload is no better than the best where they are free."""
    pools = (offer_of("l4", L4, accelerators=4, accelerators_per_node=4),)
    both = {"offload": ("true", "false")}
    free = explore(question_of(pools=pools, remaining=MONEY, fixed=both), top=1)
    tied = explore(question_of(pools=pools, remaining=MONEY, fixed=fixed(checkpointing=checkpointing, offload=offload)), top=1)
    assert key(free.choices[0]) <= min(map(key, tied.choices), default=(0, 0, 0))


def test_alike_pools_share_a_grid_and_differ_in_what_they_cost():
    spot = offer_of(
        "spot", H100, accelerators=4, spot=True, mean_time_between_failures=3600.0, price_per_accelerator_hour=Decimal(1)
    )
    steady = offer_of("steady", H100, accelerators=4, price_per_accelerator_hour=Decimal(3))
    found = explore(question_of(pools=(spot, steady), fixed=fixed(devices="4", precision="bfloat16")), top=4000).choices
    by_pool = {
        pool: {choice.layout.signature: choice for choice in found if choice.layout.pool == pool} for pool in ("spot", "steady")
    }
    shared = set(by_pool["spot"]) & set(by_pool["steady"])
    assert shared
    for signature in shared:
        cheap, safe = by_pool["spot"][signature], by_pool["steady"][signature]
        assert cheap.step_seconds == safe.step_seconds
        assert cheap.seconds.value > safe.seconds.value
        assert cheap.interruptions > safe.interruptions
        assert cheap.cost.value < safe.cost.value


def test_rules_that_ask_for_the_accelerator_are_kept_apart():
    pools = (offer_of("h100", H100, accelerators=1), offer_of("h200", H200, accelerators=1))
    losses = {
        choice.layout.pool: choice.layout.loss
        for choice in explore(question_of(pools=pools, framework="torchtitan"), top=999).choices
    }
    assert losses == {"h100": "eager", "h200": "compiled"}


def test_experts_are_split():
    pools = (offer_of("h200", H200, accelerators=8),)
    space = explore(question_of("qwen1.5-moe-a2.7b", pools=pools, fixed=fixed(ep="4")))
    assert space.choices
    assert {choice.layout.ep for choice in space.choices} == {4}


def test_passes_over_few_tokens_are_discounted():
    plain = explore(question_of(), top=1).choices[0].loss
    repeated = explore(question_of(unique_tokens=10**8), top=1).choices[0].loss
    assert repeated.value > plain.value
    assert "epochs" in repeated.source


def test_an_unpriced_pool_has_no_cost_where_money_is_not_limited():
    space = explore(question_of(pools=(offer_of("h100", H100, accelerators=1, price_per_accelerator_hour=None),)))
    assert {choice.cost for choice in space.choices} == {None}
    assert space.front


@pytest.mark.parametrize(
    ("field", "changes"), [("global_batch", {"global_batch": 0}), ("sequence_length", {"sequence_length": 0})]
)
def test_sizes_must_be_at_least_one(field, changes):
    with pytest.raises(InvalidSpec) as fault:
        explore(question_of(**changes))
    assert fault.value.field == field


def test_top_must_be_at_least_one():
    with pytest.raises(InvalidSpec, match="top"):
        explore(question_of(), top=0)


def test_a_mixture_of_experts_is_told_that_the_law_knows_dense_models_alone():
    pools = (offer_of("h200", H200, accelerators_per_node=8, accelerators=8, price_per_accelerator_hour=Decimal(3)),)
    sparse, dense = (explore(question_of(name, pools=pools, remaining=MONEY)) for name in ("qwen1.5-moe-a2.7b", "llama-3.2-1b"))
    assert any("dense models" in note for note in sparse.notes)
    assert not any("dense models" in note for note in dense.notes)


def test_a_device_without_bfloat16_is_planned_in_float16():
    pools = (offer_of("v100", "V100-SXM2-32GB", accelerators=8), offer_of("h100", H100, accelerators=8))
    seen = {
        (each.layout.pool, each.layout.precision) for each in explore(question_of("llama-110m", pools=pools), top=5000).choices
    }
    assert ("v100", "float16") in seen
    assert ("h100", "float16") not in seen
    assert ("v100", "bfloat16") not in seen


def test_interleaved_stages_wait_less_for_each_other():
    pools = (offer_of("h100", H100, accelerators=8),)
    fix = {"devices": "8", "pp": "4", "tp": "1", "micro_batch": "1", "sharding": "None", "checkpointing": "None"}
    plain, chunked = (
        explore(question_of(pools=pools, fixed=fixed(**fix, vpp=vpp, precision="bfloat16", optimizer="AdamW"))).choices[0]
        for vpp in ("1", "4")
    )
    assert chunked.time_terms["pipeline bubble"] < 0.5 * plain.time_terms["pipeline bubble"]
    assert chunked.time_terms["pipeline hops"] > plain.time_terms["pipeline hops"]
    assert chunked.allocated > plain.allocated
    assert "pp4 vpp4" in chunked.layout.signature


def test_decomposed_adapters_cost_more_than_plain_ones():
    plain, split = (
        explore(
            question_of("llama-3.1-8b", pretrained=True, fixed=fixed(adapter=adapter, micro_batch="1", devices="1"))
        ).choices[0]
        for adapter in ("LoRA", "DoRA")
    )
    assert split.step_seconds.value > plain.step_seconds.value
    assert split.allocated > plain.allocated
    assert any("no measured run" in note for note in split.notes)


ONE = (offer_of("h100", H100, accelerators=1, accelerators_per_node=1),)


def test_where_nothing_fits_states_are_kept_on_the_host():
    space = explore(question_of("llama-3.1-8b", pools=ONE))
    assert {choice.layout.offload for choice in space.choices} == {True}
    best = space.choices[0]
    assert best.time_terms["host link"] >= 0
    assert best.time_terms["optimizer"] > 1.0
    whole = next(choice for choice in space.choices if choice.layout.optimizer == "AdamW")
    assert any("120 GiB a node" in note for note in whole.notes), "16 bytes of 8G parameters"
    assert best.step_seconds.sigma > explore(question_of(pools=ONE)).choices[0].step_seconds.sigma
    assert any("nothing fits" in note for note in space.notes)


def test_what_fits_is_not_offloaded_and_a_fixed_switch_holds():
    assert not any(choice.layout.offload for choice in explore(question_of(pools=ONE)).choices)
    refused = explore(question_of("llama-3.1-8b", pools=ONE, fixed=fixed(offload="false")))
    assert refused.choices == ()
    assert refused.rejections


def test_that_the_law_knows_no_coarse_numbers_is_said_where_they_are_used():
    assert any("neither fp8" in note for note in explore(question_of()).notes)
    plain = explore(question_of(fixed=fixed(precision="bfloat16 float32", optimizer="AdamW")))
    assert plain.notes == ()
