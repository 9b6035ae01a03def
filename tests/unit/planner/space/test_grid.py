"""The legal space: exact factoring, every legal layout and no other."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.planner.space.questions import fixed, question_of

from farthing.models import architecture_from_dims
from farthing.planner.space.grid import Style, gangs, layouts, preferred, ranks, styles, suits
from farthing.planner.space.knobs import ADAPTERS, SHARDINGS, fixed_knobs

FEW = settings(max_examples=40, deadline=None)
DENSE = {"hidden": 64, "ffn": 128, "vocab": 256, "tied": True, "gated": True}


def small(layers=6, heads=8, kv_heads=4, **changes):
    return architecture_from_dims(**DENSE, layers=layers, heads=heads, kv_heads=kv_heads, **changes)


def rows(found):
    return set(zip(*(getattr(found, name).tolist() for name in found.__slots__), strict=True))


def brute_force(model, sequence, batch, per_node, most):
    """Every combination of whole numbers that the rules allow, by looking at all of them."""
    found = set()
    experts = model.mixture.routed if model.mixture else 1
    for devices in (n for n in range(1, most + 1) if n < per_node or n % per_node == 0):
        pod = min(devices, per_node)
        for tp, pp, cp in product(range(1, devices + 1), repeat=3):
            dp, rest = divmod(devices, tp * pp * cp)
            if rest or model.heads % tp or model.kv_heads % tp or pod % tp or model.layers % pp or sequence % cp or batch % dp:
                continue
            for ep, sharding, micro in product(range(1, dp + 1), range(4), range(1, batch // dp + 1)):
                if experts % ep or dp % ep or (batch // dp) % micro:
                    continue
                if (dp * cp == 1 and sharding > 0) or (sharding == 2 and pp > 1):
                    continue
                parallel, steps = int(tp > 1 and sequence % tp == 0), batch // dp // micro
                for vpp in (1, 2, 4):
                    chunked = pp > 1 and model.layers % (pp * vpp) == 0 and steps % pp == 0
                    if vpp == 1 or chunked:
                        found.add((devices, devices // pod, dp, tp, pp, cp, ep, parallel, sharding, vpp, micro, steps))
    return found


@FEW
@given(
    st.sampled_from([1, 2, 3, 4, 6, 8, 12]), st.sampled_from([6, 8, 15]), st.sampled_from([1, 2, 3, 4]),
    st.integers(1, 9), st.sampled_from([0, 4]),
)  # fmt: skip
def test_layouts_are_all_that_the_rules_allow_and_no_others(batch, sequence, per_node, most, experts):
    kinds = {"n_experts": experts, "experts_per_token": 2, "moe_ffn": 32} if experts else {}
    question = question_of(architecture=small(**kinds), sequence_length=sequence, global_batch=batch)
    found = layouts(question, per_node, most, {})
    assert len(rows(found)) == len(found)
    assert rows(found) == brute_force(question.architecture, sequence, batch, per_node, most)


@FEW
@given(st.integers(1, 64), st.integers(1, 8), st.integers(1, 24))
def test_batch_and_gang_are_factored_exactly(batch, per_node, most):
    found = layouts(question_of(global_batch=batch), per_node, most, {})
    assert (found.dp * found.micro_batch * found.accumulation == batch).all()
    assert (found.dp * found.tp * found.pp * found.cp == found.devices).all()
    assert (found.shard_degree == np.where(found.sharding > 0, found.dp * found.cp, 1)).all()


def test_gangs_are_parts_of_a_node_or_whole_nodes():
    assert gangs(4, 13) == [1, 2, 3, 4, 8, 12]
    assert gangs(8, 3) == [1, 2, 3]


@pytest.mark.parametrize(
    ("knob", "words", "column"),
    [("tp", "2 4", "tp"), ("pp", "2", "pp"), ("vpp", "2 8", "vpp"), ("cp", "2", "cp"), ("micro_batch", "2 4", "micro_batch"),
     ("devices", "4 16", "devices")],
)  # fmt: skip
def test_fixed_counts_are_respected(knob, words, column):
    question = question_of(fixed=fixed(**{knob: words}))
    found = layouts(question, 8, 16, fixed_knobs(question))
    assert set(getattr(found, column).tolist()) == {int(word) for word in words.split()}


def test_switches_of_tensor_parallelism():
    free = layouts(question_of(), 8, 8, {})
    assert ((free.tp > 1) == (free.sequence_parallel > 0)).all()
    odd = layouts(question_of(sequence_length=2047), 8, 8, {})
    assert not odd.sequence_parallel.any()
    off = layouts(question_of(), 8, 8, {"sequence_parallel": (False,)})
    assert (off.tp > 1).any()
    assert not off.sequence_parallel.any()


def test_one_rank_shards_nothing_unless_told_to():
    alone = layouts(question_of(), 1, 1, {})
    assert set(alone.sharding.tolist()) == {0}
    told = layouts(question_of(), 1, 1, {"sharding": ("FullShard",)})
    assert set(told.sharding.tolist()) == {SHARDINGS.index("FullShard")}


def test_adapters_only_over_pretrained_weights():
    assert {style.adapter for style in styles(question_of(), {})} == {"None"}
    assert {style.adapter for style in styles(question_of(), {"adapter": ("None", "LoRA")})} == {"None"}
    tuned = styles(question_of(pretrained=True), {})
    assert {style.adapter for style in tuned} == {"None", "LoRA", "QLoRA"}
    tuned = styles(question_of(pretrained=True), {"adapter": ADAPTERS})
    assert {style.adapter for style in tuned} == set(ADAPTERS)
    assert {style.precision for style in tuned if style.adapter in ("QLoRA", "QDoRA")} == {"bfloat16", "float16"}


def test_what_suits_a_layout():
    found = layouts(question_of(), 8, 8, {})
    quantized = suits(found, Style("bfloat16", "AdamW", "QLoRA", "None", False, True))
    assert (found.tp[quantized] * found.pp[quantized] * found.cp[quantized] == 1).all()
    assert quantized.any()
    offloaded = suits(found, Style("bfloat16", "AdamW", "None", "None", True, True))
    assert ((found.sharding[offloaded] == 3) | (found.dp * found.cp == 1)[offloaded]).all()
    assert offloaded.any()


def test_states_of_few_bits_are_not_offloaded():
    assert {style.optimizer for style in styles(question_of(), {"offload": (True,)})} == {"AdamW"}
    assert styles(question_of(), {"offload": (True,), "optimizer": ("adam4bit",)}) == []


def test_nothing_is_offloaded_unless_it_is_fixed():
    assert not any(style.offload for style in styles(question_of(), {}))


def test_preferred_styles_do_no_more():
    every = styles(question_of(), {"offload": (False, True)})
    others = preferred(every)
    full = every.index(Style("bfloat16", "AdamW", "None", "Full", True, True))
    assert len(others[full]) == 7
    assert others[every.index(Style("bfloat16", "AdamW", "None", "None", False, True))] == []
    assert others[every.index(Style("bfloat16", "AdamW", "None", "SelectiveOp", False, True))] == [
        every.index(Style("bfloat16", "AdamW", "None", "None", False, True))
    ]
    order = [position for rank in ranks(others) for position in rank]
    assert sorted(order) == list(range(len(every)))
    assert all(order.index(other) < order.index(position) for position in order for other in others[position])
