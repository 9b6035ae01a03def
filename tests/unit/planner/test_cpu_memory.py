"""Memory of one process of the CPU trainer: terms and monotonicity. Against its measured peaks: test_search."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.catalog import preset
from farthing.contract.shape import ModelShape, shape_from_config
from farthing.planner.cpu_memory import MemoryQuestion, layer_activation_bytes, memory_terms

LLAMA_8B = shape_from_config(preset("llama-3.1-8b"))

shapes = st.builds(
    lambda heads, kv, dim, layers, ffn, vocabulary, tied: ModelShape(
        heads * dim, layers, heads, min(kv, heads), dim, ffn, vocabulary, tied
    ),
    st.integers(1, 32), st.integers(1, 8), st.sampled_from([16, 64, 128]), st.integers(1, 40), st.integers(16, 4096),
    st.integers(256, 130_000), st.booleans(),
)  # fmt: skip
questions = st.builds(
    MemoryQuestion,
    shape=shapes,
    tokens=st.integers(1, 1 << 16),
    precision=st.sampled_from(["float32", "bfloat16"]),
    shards=st.integers(1, 64),
    world=st.just(64),
    grouping=st.sampled_from(["Root", "PerLayer"]),
    activation_checkpointing=st.sampled_from(["None", "Full"]),
    compile=st.booleans(),
)


def peak(question: MemoryQuestion) -> float:
    return max(sum(terms.values()) for terms in memory_terms(question).values())


def changed(question: MemoryQuestion, **changes: object) -> MemoryQuestion:
    return MemoryQuestion(**{name: getattr(question, name) for name in question.__slots__} | changes)


@given(questions, st.integers(1, 8))
def test_memory_never_falls_with_the_micro_batch(question, factor):
    assert peak(changed(question, tokens=question.tokens * factor)) >= peak(question)


@given(questions)
def test_memory_is_never_below_the_states(question):
    states = 16 * question.shape.parameters / question.shards
    assert peak(question) >= states * (1 - 1e-12)


@given(questions)
def test_every_term_is_named_and_not_negative(question):
    phases = memory_terms(question)
    assert set(phases) == {"load", "loss", "backward", "optimizer", "save"}
    assert all(size >= 0 for terms in phases.values() for size in terms.values())


@given(questions)
def test_activation_checkpointing_never_stores_more(question):
    full = memory_terms(changed(question, activation_checkpointing="Full"))
    none = memory_terms(changed(question, activation_checkpointing="None"))
    assert full["loss"]["activations"] <= none["loss"]["activations"]


def test_activations_of_a_layer_by_hand():
    question = MemoryQuestion(LLAMA_8B, 4096, "bfloat16", 8, 8, "PerLayer", "None", compile=True)
    assert layer_activation_bytes(question) == 2 * (4 * 4096 + 2 * 4096) + 4 * 1024 + 8 * 14336 == 167_936


def test_lora_keeps_frozen_weights_but_no_states_for_them():
    lora = MemoryQuestion(LLAMA_8B, 4096, "bfloat16", 1, 1, "Root", "Full", adapter_parameters=10_000_000)
    terms = memory_terms(lora)["optimizer"]
    assert terms["parameters"] == 4 * (LLAMA_8B.parameters + 10_000_000)
    assert terms["optimizer states"] == 8 * 10_000_000


def test_a_whole_gang_averages_its_gradients_in_one_buffer():
    alone = MemoryQuestion(LLAMA_8B, 512, "float32", 1, 1, "Root", "None")
    assert memory_terms(alone)["optimizer"]["buffers"] == 0
    assert memory_terms(changed(alone, world=2))["optimizer"]["buffers"] == 4 * LLAMA_8B.parameters
    assert memory_terms(changed(alone, world=2, shards=2))["optimizer"]["buffers"] == 0


def test_one_unit_for_everything_holds_it_whole():
    layers = MemoryQuestion(LLAMA_8B, 512, "float32", 8, 8, "PerLayer", "None")
    root = memory_terms(changed(layers, grouping="Root"))
    assert root["backward"]["unsharded"] == pytest.approx(3 * 4 * LLAMA_8B.parameters)
    assert root["loss"]["unsharded"] > memory_terms(layers)["loss"]["unsharded"]
