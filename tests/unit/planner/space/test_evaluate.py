"""Columns as a measured row would state them, memory and FLOPs against the definitions, monotony in shards."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.planner.builders import offer_of
from tests.unit.planner.space.questions import A100, H100, L4, model_of, question_of

from farthing.catalog import preset
from farthing.catalog.frameworks import framework, frameworks
from farthing.contract.flops import executed_flops_per_token
from farthing.contract.shape import shape_from_config
from farthing.estimates.memory import estimate_memory
from farthing.estimates.rows_columns import row_columns
from farthing.estimates.throughput import estimate_time
from farthing.planner.space.evaluate import Grid, in_blocks, kinds, safe_bytes, step_flops, style_cells, timing
from farthing.planner.space.grid import Style, layouts, preferred, styles, suits
from farthing.planner.space.sites import sites

FEW = settings(max_examples=25, deadline=None)
PLAIN = Style("bfloat16", "AdamW", "None", "None", False, True)
STYLES = tuple(styles(question_of(pretrained=True), {"compile": (False, True), "offload": (False, True)}))


def grid_of(question, most=8, per_node=8, every=None, accelerator="", **knobs):
    return Grid.of(question, layouts(question, per_node, most, knobs), every or styles(question, {}), accelerator)


def member(grid, **sizes):
    """Position of the layout with those sizes."""
    found = np.ones(len(grid.layouts), dtype=bool)
    for name, size in sizes.items():
        found &= getattr(grid.layouts, name) == size
    (position,) = np.flatnonzero(found)
    return np.array([position])


def only(style, question, **sizes):
    grid = grid_of(question, every=[style])
    (site,), _ = sites(question)
    return grid.columns(member(grid, **sizes), np.array([0]), site)


@pytest.mark.parametrize("style", [
    PLAIN, Style("float32", "AdamW", "None", "Full", False, False),
    Style("fp8", "AdamW8bit", "None", "SelectiveOp", False, True),
    Style("bfloat16", "AdamW", "LoRA", "Selective2", False, True), Style("bfloat16", "AdamW", "QLoRA", "Full", False, False),
    Style("bfloat16", "AdamW", "DoRA", "None", False, True), Style("float16", "galore_adamw", "None", "Full", False, True),
])  # fmt: skip
@pytest.mark.parametrize("name", ["farthing", "torchtitan", "hf-trainer", "megatron"])
def test_columns_are_those_of_the_same_run_as_a_measured_row(style, name):
    model = model_of("llama-3.2-1b")
    question = question_of(pools=(offer_of("h100", H100),), framework=name, pretrained=True)
    found = only(style, question, devices=4, dp=4, sharding=3, micro_batch=2, cp=1)
    cells = {
        **style_cells(style, 16), "framework": name, "gpu": H100, "n_gpus": "4", "dp": "4", "shard": "zero3",
        "gpus_per_node": "8",
        "hidden": str(model.hidden), "layers": str(model.layers), "heads": str(model.heads), "kv_heads": str(model.kv_heads),
        "head_dim": str(model.head_dim), "ffn": str(model.ffn), "vocab": str(model.vocabulary), "gated_mlp": "true",
        "tied_embeddings": "true", "n_params": str(model.parameters), "seq_len": "2048", "seq_len_kind": "fixed",
        "micro_batch": "2", "local_batch": "4", "sequence_parallel": "false",
    }  # fmt: skip
    row, _ = row_columns(cells)
    differing = {
        column: (float(getattr(found, column)[0]), row[column])
        for column in found.__slots__
        if not np.isclose(getattr(found, column)[0], row[column], rtol=1e-3, equal_nan=True)
    }
    assert set(differing) <= {"device_memory"}  # the row does not say its size


def test_no_rule_of_a_framework_asks_for_what_a_style_does_not_say():
    said = set(style_cells(PLAIN, 16)) | {"accelerator", "sharded", "adapter", "quantized", "param_dtype", "amp"}
    unknown = {"framework_variant", "mp_mode", "memory_metric"}  # of measured rows alone: empty here
    asked = {column for name in frameworks() for rule in framework(name).rules for column in rule.when}
    assert asked <= said | unknown


@FEW
@given(st.sampled_from(STYLES), st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 4]), st.data())
def test_more_shards_never_need_more_memory(style, sharding, tp, data):
    """From two shards on, at the same work of each device."""
    question = question_of(pools=(offer_of("h100", H100),), sequence_length=1024, global_batch=64, pretrained=True)
    grid = grid_of(question, most=64, every=[style], cp=(1,), pp=(1,), micro_batch=(1,), tp=(tp,))
    rows = np.flatnonzero((grid.layouts.sharding == sharding) & suits(grid.layouts, style) & (grid.layouts.accumulation > 1))
    rows = rows[np.argsort(grid.layouts.dp[rows])]
    rows = rows[grid.layouts.dp[rows] > 1]
    if len(rows) < 2:
        return
    assert (np.diff(grid.layouts.dp[rows]) > 0).all()
    safe = estimate_memory(grid.columns(rows, np.zeros_like(rows))).safe
    assert (np.diff(safe) <= 1e-6 * safe[1:]).all()


@pytest.mark.parametrize("checkpointing", ["None", "Full"])
@pytest.mark.parametrize("adapter", ["None", "LoRA"])
def test_flops_are_those_of_the_contract(checkpointing, adapter):
    shape = shape_from_config(preset("llama-3.2-1b"))
    style = Style("bfloat16", "AdamW", adapter, checkpointing, False, True)
    columns = only(style, question_of(pretrained=True), devices=2, dp=2, cp=1, sharding=0, micro_batch=2)
    expected = executed_flops_per_token(shape, 2048, checkpointing, adapter) * 16 * 2048
    assert step_flops(columns)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("knob", ["compile", "sequence_parallel"])
@pytest.mark.parametrize("name", ["farthing", "torchtitan", "hf-trainer", "default"])
def test_a_switch_that_is_not_searched_never_helps(knob, name):
    """What grid.py says of compile and sequence parallelism: the other value is never smaller nor faster."""
    question = question_of(pools=(offer_of("h100", H100),), pretrained=True, framework=name)
    (site,), _ = sites(question)
    every = [style for style in STYLES if style.compile]
    worse = [
        Style(*(False if part == "compile" and knob == "compile" else getattr(style, part) for part in style.__slots__))
        for style in every
    ]
    kept = {"sequence_parallel": (True,)} if knob == "sequence_parallel" else {}
    lost = {"sequence_parallel": (False,), "tp": (2, 4, 8)} if knob == "sequence_parallel" else {}
    good, bad = grid_of(question, every=every, **kept), grid_of(question, every=worse, **lost)
    assert len(good.layouts) == len(bad.layouts)
    at = [np.flatnonzero(suits(good.layouts, style)) for style in every]
    rows, positions = np.concatenate(at), np.repeat(np.arange(len(every)), [len(each) for each in at])
    ones, others = good.columns(rows, positions, site), bad.columns(rows, positions, site)
    assert (estimate_memory(ones).safe <= estimate_memory(others).safe * (1 + 1e-12)).all()
    assert (estimate_time(ones).step_seconds <= estimate_time(others).step_seconds * (1 + 1e-12)).all()


@pytest.mark.parametrize("model", ["llama-3.2-1b", "qwen1.5-moe-a2.7b"])
def test_a_preferred_style_is_never_slower_nor_computes_more(model):
    """What lets the search pass over the others where it fits."""
    question = question_of(model, pools=(offer_of("l4", L4),), pretrained=True)
    (site,), _ = sites(question)
    every = [style for style in STYLES if style.compile and site.has(style.precision)]
    grid, others = grid_of(question, every=every), preferred(every)
    seen = {}
    for position, style in enumerate(every):
        rows = np.flatnonzero(suits(grid.layouts, style))
        found = timing(grid, rows, np.full_like(rows, position), site)
        seen[position] = np.full((2, len(grid.layouts)), np.inf)
        seen[position][:, rows] = found.step_seconds, found.step_flops
    assert any(others)
    for position, better in enumerate(others):
        for other in better:
            assert (seen[other] <= seen[position] * (1 + 1e-12)).all()


def test_fp8_keeps_the_bytes_of_its_twin_and_is_not_needed_beside_it():
    question = question_of()
    twins = [PLAIN, Style("fp8", "AdamW", "None", "None", False, True)]
    grid = grid_of(question, every=twins)
    wanted = np.ones((2, len(grid.layouts)), dtype=bool)
    wanted[0, 0] = wanted[1, 1] = False
    found = safe_bytes(grid, [0, 1], wanted)
    alone = safe_bytes(grid, [1], wanted[1:])
    assert np.isinf(found[0, 0])
    assert np.isinf(found[1, 1])
    assert np.isfinite(found[wanted]).all()
    assert (found[0, 2:] == found[1, 2:]).all()
    assert (alone[0] == found[1]).all()
    rows = np.arange(len(grid.layouts))
    assert (found[0, 1:] == estimate_memory(grid.columns(rows, np.zeros_like(rows))).safe[1:]).all()


def test_precisions_run_at_their_own_peaks():
    question = question_of()
    (site,), _ = sites(question)
    grid = grid_of(question, every=[PLAIN, Style("float32", "AdamW", "None", "None", False, True)])
    columns = grid.columns(np.array([0, 0]), np.array([0, 1]), site)
    assert columns.peak_flops.tolist() == [site.device.peak("bf16"), site.device.peak("fp32")]


def test_rules_may_ask_for_the_accelerator():
    question = question_of(framework="torchtitan")
    assert kinds(question, [PLAIN], A100).loss == ("eager",)
    assert kinds(question, [PLAIN], "H200-141GB-SXM").loss == ("compiled",)


def test_timing_is_the_estimators_whatever_the_blocks(monkeypatch):
    question = question_of()
    (site,), _ = sites(question)
    grid = grid_of(question, most=2)
    rows = np.arange(len(grid.layouts))
    whole = timing(grid, rows, np.zeros_like(rows), site)
    monkeypatch.setattr("farthing.planner.space.evaluate.BLOCK", 7)
    parts = timing(grid, rows, np.zeros_like(rows), site)
    assert (whole.step_seconds == parts.step_seconds).all()
    assert (whole.step_flops == parts.step_flops).all()


def test_nothing_has_no_estimates():
    assert in_blocks(lambda part: np.zeros(3), 0).shape == (0,)
    assert in_blocks(lambda part: np.zeros((3, 1)), 0, rank=3).shape == (3, 0)
