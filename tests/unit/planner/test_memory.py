"""Memory of one process: terms, monotonicity, and agreement with published measurements."""

import csv
import os
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.catalog import preset
from farthing.contract.shape import ModelShape, shape_from_config
from farthing.planner.memory import MemoryQuestion, layer_activation_bytes, memory_terms
from farthing.units import GIB

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
    on_cpu=st.booleans(),
)


def peak(question: MemoryQuestion) -> float:
    return max(sum(terms.values()) for terms in memory_terms(question).values())


def with_tokens(question: MemoryQuestion, tokens: int) -> MemoryQuestion:
    return MemoryQuestion(**{name: getattr(question, name) for name in question.__slots__} | {"tokens": tokens})


@given(questions, st.integers(1, 8))
def test_memory_never_falls_with_the_micro_batch(question, factor):
    assert peak(with_tokens(question, question.tokens * factor)) >= peak(question)


@given(questions)
def test_memory_is_never_below_the_states(question):
    states = 16 * question.shape.parameters / question.shards
    assert peak(question) >= states * (1 - 1e-12)


@given(questions)
def test_every_term_is_named_and_not_negative(question):
    phases = memory_terms(question)
    assert set(phases) == {"load", "loss", "backward", "optimizer"} | ({"save"} if question.on_cpu else set())
    assert all(size >= 0 for terms in phases.values() for size in terms.values())


@given(questions)
def test_activation_checkpointing_never_stores_more(question):
    changed = {name: getattr(question, name) for name in question.__slots__}
    full = MemoryQuestion(**changed | {"activation_checkpointing": "Full"})
    none = MemoryQuestion(**changed | {"activation_checkpointing": "None"})
    assert memory_terms(full)["loss"]["activations"] <= memory_terms(none)["loss"]["activations"]


def test_activations_of_llama_8b_match_the_published_168_kB_a_layer():
    question = MemoryQuestion(LLAMA_8B, 4096, "bfloat16", 8, 8, "PerLayer", "None", compile=True)
    assert layer_activation_bytes(question) == 2 * (4 * 4096 + 2 * 4096) + 4 * 1024 + 8 * 14336 == 167_936


def test_lora_keeps_frozen_weights_but_no_states_for_them():
    lora = MemoryQuestion(LLAMA_8B, 4096, "bfloat16", 1, 1, "Root", "Full", adapter_parameters=10_000_000)
    terms = memory_terms(lora)["optimizer"]
    assert terms["parameters"] == 4 * (LLAMA_8B.parameters + 10_000_000)
    assert terms["optimizer states"] == 8 * 10_000_000


def test_fused_loss_is_cheaper_than_whole_logits():
    fused = MemoryQuestion(LLAMA_8B, 8192, "bfloat16", 8, 8, "PerLayer", "Full")
    whole = MemoryQuestion(LLAMA_8B, 8192, "bfloat16", 8, 8, "PerLayer", "Full", fused_loss=False)
    assert memory_terms(fused)["loss"]["logits"] < memory_terms(whole)["loss"]["logits"] / 3


def measured_rows() -> list[dict[str, str]]:
    """FSDP2 over one axis, Llama-3.1-8B, checkpointing that the trainer has too, Hopper (eager loss of 14 bytes a logit)."""
    shared = Path(os.environ.get("FARTHING_SHARED", Path(__file__).resolve().parents[4] / "shared"))
    table = shared / "ground_truth" / "training_runs.csv"
    if not table.exists():
        pytest.skip(f"{table} is not there: set FARTHING_SHARED to the folder with ground_truth/ to compare with measurements")
    with table.open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if _comparable(row)]


def _comparable(row: dict[str, str]) -> bool:
    return (
        row["model"] == "llama-3.1-8b" and row["shard_impl"] == "fsdp2" and row["framework"] == "torchtitan"
        and row["tp"] == row["cp"] == row["pp"] == "1" and row["ac"] in ("none", "full")
        and row["gpu"].startswith("H100") and row["peak_mem_gib"] != "" and row["micro_batch"] != ""
    )  # fmt: skip


def predicted_gib(row: dict[str, str]) -> float:
    question = MemoryQuestion(
        shape=LLAMA_8B,
        tokens=int(row["micro_batch"]) * int(row["seq_len"]),
        precision="bfloat16",
        shards=int(row["shard_degree"]),
        world=int(row["n_gpus"]),
        grouping="PerLayer",
        activation_checkpointing="Full" if row["ac"] == "full" else "None",
        compile=row["compile"] == "true",
        fused_loss=False,
    )
    return peak(question) / GIB


def test_formulas_agree_with_published_fsdp2_measurements():
    rows = measured_rows()
    errors = {row["row_id"]: predicted_gib(row) / float(row["peak_mem_gib"]) - 1 for row in rows}
    print({key: f"{error:+.1%}" for key, error in errors.items()})
    assert len(errors) >= 6
    assert median(abs(error) for error in errors.values()) <= 0.03
    assert max(abs(error) for error in errors.values()) <= 0.08
