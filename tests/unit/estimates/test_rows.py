"""Rows of measured runs: framework defaults fill empty cells, what is not modelled is refused with its reason."""

import csv
import io
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.catalog.devices import device
from farthing.catalog.frameworks import framework, frameworks
from farthing.estimates.configuration import Attention, Checkpointing, Loss, Sharding
from farthing.estimates.memory import estimate_memory
from farthing.estimates.results import MemoryBreakdown
from farthing.estimates.rows import read_rows
from farthing.estimates.rows_optimizer import projected_shares
from farthing.units import GIB

LLAMA = {
    "row_id": "a", "source_group": "one", "model": "meta-llama/Meta-Llama-3-8B", "n_params": 8030261248, "hidden": 4096,
    "layers": 32, "heads": 32, "kv_heads": 8, "head_dim": 128, "ffn": 14336, "vocab": 128256, "tied_embeddings": "false",
    "gated_mlp": "true", "gpu": "H100-80GB", "gpu_memory_gib": 80, "n_gpus": 8, "framework": "torchtitan", "dp": 8, "tp": 1,
    "pp": 1, "cp": 1, "peft": "none", "seq_len": 8192, "seq_len_kind": "fixed", "data_mode": "fixed", "micro_batch": 2,
    "status": "ok", "memory_metric": "reserved", "peak_mem_gib": 77, "tokens_per_s_per_gpu": 6667, "mem_ready": "strict",
    "time_ready": "strict",
}  # fmt: skip


def rows_of(*changes):
    """A file of the Llama row with each of the changes."""
    written = [{**LLAMA, "row_id": str(index), **change} for index, change in enumerate(changes)]
    names = list(dict.fromkeys(name for row in written for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, names)
    writer.writeheader()
    writer.writerows(written)
    return read_rows(out.getvalue())


def columns_of(**change):
    """The configuration of the Llama row with the change."""
    rows = rows_of(change)
    assert not rows.refused
    return rows.configurations


def reason(**change):
    """Why the Llama row with the change is refused."""
    return rows_of(change).refused["0"]


def test_torchtitan_keeps_sixteen_bytes_a_parameter_over_all_ranks():
    c = columns_of()
    states = c.parameter_bytes + c.gradient_bytes + c.state_bytes + c.master_bytes
    assert (states[0], c.shard_degree[0], c.sharding[0]) == (16, 8, Sharding.ZERO3)
    assert (c.reduce_bytes[0], c.residual_bytes[0], c.step_transient_bytes[0], c.autocast_copy[0]) == (4, 2, 0, 0)
    assert (c.attention[0], c.loss[0]) == (Attention.SDPA, Loss.EAGER)


def test_the_layer_has_the_parameters_of_the_dims():
    c = columns_of()
    assert c.layers[0] * c.layer_parameters[0] + 2 * c.embedding_parameters[0] + c.hidden[0] == c.parameters[0] == 8030261248


def test_hf_trainer_upcasts_under_mixed_precision_over_fsdp_only():
    base = {"framework": "hf-trainer", "param_dtype": "bf16", "amp": "true"}
    sharded, alone = columns_of(**base, shard="zero3"), columns_of(**base, n_gpus=1, dp=1)
    pick = ("parameter_bytes", "gradient_bytes", "state_bytes", "step_transient_bytes", "residual_bytes")
    assert [getattr(sharded, name)[0] for name in pick] == [4, 4, 8, 4, 2]
    assert [getattr(alone, name)[0] for name in pick] == [2, 2, 4, 2, 2]


def test_quantized_bases_have_their_bits_and_scales():
    base = {"framework": "hf-trainer", "peft": "qlora", "trainable_params": 13631488, "framework_variant": "own"}
    plain = columns_of(**base, quantized_base="nf4")
    double = columns_of(**base, quantized_base="nf4", double_quant="true")
    assert plain.frozen_bytes[0] == 0.5625 > double.frozen_bytes[0] > 0.5
    assert columns_of(**base, quantized_base="gptq8").frozen_bytes[0] > 1
    assert (plain.trainable[0], plain.parameter_bytes[0], plain.quantized[0]) == (13631488, 4, 1)


def test_standard_k_bit_preparation_makes_the_rest_fp32():
    c = columns_of(framework="hf-trainer", peft="qlora", quantized_base="bnb4", lora_rank=16, param_dtype="bf16")
    assert (c.frozen_other_bytes[0], c.residual_bytes[0]) == (4, 4)


def test_paged_states_are_on_the_host_where_the_device_is_too_small_for_what_stays():
    base = {
        "framework": "torchtune", "framework_variant": "paged", "optimizer": "adam8bit", "n_gpus": 1, "dp": 1, "shard": "none",
        "optimizer_in_backward": "true", "optimizer_state_bytes_per_param": 2,
    }  # fmt: skip
    states = {size: columns_of(**base, gpu="XPU", gpu_memory_gib=size).state_bytes[0] for size in (24, 48, "")}
    assert states == {24: 0, 48: 2, "": 2}
    assert columns_of(**{**base, "framework_variant": "", "gpu": "XPU", "gpu_memory_gib": 24}).state_bytes[0] == 2
    adapter = columns_of(**{**base, "peft": "lora", "lora_rank": 8, "gpu": "XPU", "gpu_memory_gib": 24})
    assert (adapter.has_adapter[0], adapter.state_bytes[0]) == (1, 2)


def test_lora_without_a_count_follows_from_rank_and_targets():
    c = columns_of(framework="torchtune", peft="lora", lora_rank=16, lora_targets="q+k+v+o")
    assert c.trainable[0] == 13631488


def test_decomposed_adapters_have_a_magnitude_for_each_output():
    plain = columns_of(framework="hf-trainer", peft="lora", lora_rank=16, lora_targets="q+k+v+o+mlp")
    split = columns_of(framework="hf-trainer", peft="dora", lora_rank=16, lora_targets="q+k+v+o+mlp")
    outputs = 2 * 4096 + 2 * 1024 + 2 * 14336 + 4096
    assert split.trainable[0] - plain.trainable[0] == 32 * outputs
    assert (split.decomposed_width[0], plain.decomposed_width[0]) == (outputs, 0)
    assert split.decomposed_parameters[0] == 4096 * (2 * 4096 + 2 * 1024 + 3 * 14336)
    head = columns_of(framework="hf-trainer", peft="qdora", lora_rank=16, lora_targets="q+head", quantized_base="nf4")
    assert head.decomposed_width[0] == 4096


LLAMA_7B = {"hidden": 4096, "ffn": 11008, "kv_heads": 32, "vocab": 32000, "n_params": 6738415616}


def test_projected_gradients_spare_the_states_that_galore_publishes():
    whole, projected, eight, seeded = (
        columns_of(**LLAMA_7B, framework="hf-trainer", optimizer=name).state_bytes[0]
        for name in ("adamw", "galore_adamw", "galore_adamw_8bit", "apollo_adamw")
    )
    assert 1 - projected / whole == pytest.approx(0.655, abs=0.01), "GaLore's abstract: up to 65.5 % of the optimizer's states"
    assert seeded < projected
    assert eight < projected
    adapted = {"peft": "lora", "lora_rank": 8, "lora_targets": "q+v"}
    same = [columns_of(**LLAMA_7B, **adapted, optimizer=name).state_bytes[0] for name in ("adamw", "galore_adamw")]
    assert same[0] == same[1], "adapters are of lower rank than any projection"


@pytest.mark.parametrize("experts", [{}, {"n_experts": 8, "experts_per_token": 2, "moe_ffn": 14336, "n_params": 46702792704}])
def test_projected_states_are_a_share_of_whole_ones(experts):
    found = columns_of(**experts)
    moments, projectors = projected_shares({each.name: getattr(found, each.name)[0] for each in fields(found)})
    assert 0 < projectors < moments < 0.6


def test_nanotron_megatron_and_llm_foundry_have_their_policies():
    nanotron = columns_of(framework="nanotron")
    assert nanotron.gradient_bytes[0] + nanotron.extra_gradient_bytes[0] + nanotron.master_bytes[0] == 10
    megatron = columns_of(framework="megatron-deepspeed")
    assert megatron.parameter_bytes[0] + megatron.gradient_bytes[0] + megatron.master_bytes[0] + megatron.state_bytes[0] == 18
    assert megatron.attention[0] == Attention.EAGER
    assert columns_of(framework="llm-foundry", mp_mode="pure").reduce_bytes[0] == 2


def test_an_unknown_framework_is_modelled_by_general_assumptions():
    c = columns_of(framework="never-heard-of", param_dtype="bf16")
    assert (c.parameter_bytes[0], c.gradient_bytes[0], c.state_bytes[0], c.sharding[0]) == (2, 2, 4, Sharding.NONE)
    assert framework("never-heard-of").name == "default"
    assert {"torchtitan", "hf-trainer", "farthing"} <= set(frameworks())


def test_what_the_source_of_a_row_is_called_changes_nothing():
    one, other = rows_of({}), rows_of({"source_group": "somewhere-else", "source": "x", "notes": "y"})
    for name in one.configurations.__slots__:
        np.testing.assert_array_equal(getattr(one.configurations, name), getattr(other.configurations, name))


def test_layout_follows_from_what_is_given():
    c = columns_of(dp="", tp=2, pp=2, pp_schedule="interleaved-1f1b", micro_batch="", local_batch=8, n_gpus=32)
    assert (c.dp[0], c.vpp[0], c.micro_batch[0], c.accumulation[0], c.sequence_parallel[0]) == (8, 2, 4, 2, 1)
    assert columns_of(micro_batch=2, local_batch=8).accumulation[0] == 4
    assert columns_of(micro_batch="", global_batch=64, grad_accum=4).micro_batch[0] == 2


def test_lengths_that_differ_have_a_mean_and_a_longest():
    base = {"seq_len_kind": "", "tokens_per_sample": 300}
    padded = columns_of(**base, seq_len="", data_mode="padded")
    free = columns_of(**base, seq_len="", data_mode="padding_free", micro_batch=8)
    assert padded.sequence_length[0] == 300 < free.longest_sequence[0] < padded.longest_sequence[0]
    assert padded.variable_length[0] == 1
    capped = columns_of(data_mode="padded", seq_len=512, seq_len_kind="cap", tokens_per_sample=300)
    assert capped.longest_sequence[0] == 512
    longest = columns_of(data_mode="padded", seq_len=4000, seq_len_kind="longest", tokens_per_sample=300)
    assert (longest.sequence_length[0], longest.longest_sequence[0]) == (300, 4000)
    whole = columns_of(data_mode="padded_to_max", seq_len=512, seq_len_kind="cap")
    assert (whole.sequence_length[0], whole.longest_sequence[0], whole.variable_length[0]) == (512, 512, 0)


@pytest.mark.parametrize("mode", ["", "fixed", "packed", "padded_to_max"])
def test_batches_of_one_length_are_as_long_as_their_mean(mode):
    c = columns_of(seq_len="", tokens_per_sample=1000, data_mode=mode)
    assert (c.sequence_length[0], c.longest_sequence[0], c.variable_length[0]) == (1000, 1000, 0)


def test_missing_kind_of_the_model_is_the_one_that_matches_its_size():
    c = columns_of(gated_mlp="", tied_embeddings="")
    assert (c.mlp_matrices[0], c.tied[0]) == (3, 0)


def test_leading_dense_layers_and_shared_experts_are_means_over_layers():
    change = {"n_experts": 64, "experts_per_token": 6, "moe_ffn": 1408, "n_shared_experts": 2, "n_dense_layers": 8}
    c = columns_of(n_params="", ffn=10944, **change)
    assert c.active_ffn[0] == (24 * 8 * 1408 + 8 * 10944) / 32
    assert c.experts[0] == 48
    assert c.expert_parameters[0] == 0.75 * 64 * 3 * 4096 * 1408


def test_experts_split_active_from_all():
    c = columns_of(n_params="", n_experts=8, experts_per_token=2, moe_ffn=14336, ffn="", vocab=32000)
    assert c.active_ffn[0] == 2 * 14336
    assert c.expert_parameters[0] == 8 * 3 * 4096 * 14336
    assert 46e9 < c.parameters[0] < 47e9


def test_accelerators_are_found_by_label_and_unknown_ones_keep_their_memory():
    rows = rows_of(
        {"gpu": "A100", "gpu_memory_gib": 40}, {"gpu": "A100", "gpu_memory_gib": ""}, {"gpu": "XPU-1", "gpu_memory_gib": 64}
    )
    assert list(rows.accelerators) == ["A100-40GB-SXM", "A100-80GB-SXM", "XPU-1"]
    memory = rows.configurations.device_memory
    assert memory[0] == 39.2 * GIB
    assert np.isnan(memory[1])
    assert memory[2] == 64 * 0.98 * GIB
    assert list(rows.for_time) == [True, True, False]
    assert list(rows.for_memory) == [True] * 3


def test_every_label_of_the_ground_truth_is_in_the_catalogue():
    labels = "A100 A100-80GB A100-40GB H100-80GB H100-96GB T4-16GB B200-180GB H200-141GB MI300X-192GB RTX4090-24GB"
    assert all(device(label) for label in [*labels.split(), "RTX4070TiS-16GB", "A6000-48GB"])
    assert device("T4-16GB").peak("bf16") == device("T4").peak("fp16") == 65e12
    assert device("A100").peak("fp8") == 0
    assert device("nothing") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden": ""}, "hidden is empty"),
        ({"hidden": "many"}, "not a number"),
        ({"micro_batch": 0}, "micro_batch"),
        ({"micro_batch": -1}, "not a count"),
        ({"hidden": 4096.5, "head_dim": ""}, "hidden 4096.5: not a whole number"),
        ({"layers": 0.5}, "not a whole number"),
        ({"n_experts": 8, "experts_per_token": 9}, "9 of 8"),
        ({"n_params": "", "tied_embeddings": ""}, "gated_mlp or tied_embeddings"),
        ({"micro_batch": "", "local_batch": "", "global_batch": ""}, "micro_batch, local_batch and global_batch are empty"),
        ({"quantized_base": "nf4"}, "without an adapter"),
        ({"naive_mp": 2, "dp": 4}, "naive_mp"),
        ({"lowp_recipe": "nvfp4"}, "nvfp4"),
        ({"loss_impl": "new-kernel"}, "new-kernel"),
        ({"ac": "sometimes"}, "sometimes"),
        ({"attention": "linear"}, "linear"),
        ({"shard": "hybrid"}, "hybrid"),
        ({"optimizer": "soap"}, "soap"),
        ({"peft": "prefix"}, "prefix"),
        ({"param_dtype": "int3", "framework": "torchtune"}, "int3"),
        ({"seq_len": "", "tokens_per_sample": ""}, "seq_len"),
        ({"seq_len_kind": "typical"}, "typical"),
        ({"dp": 3}, "is not n_gpus"),
        ({"compile": "maybe"}, "maybe"),
        ({"peft": "lora", "lora_targets": "router"}, "router"),
        ({"data_mode": "streamed"}, "streamed"),
        ({"peft": "qlora", "quantized_base": "aqlm2", "trainable_params": 5}, "aqlm2"),
    ],
)
def test_what_is_not_modelled_is_refused_with_its_reason(change, said):
    assert said in reason(**change)


def test_refused_rows_leave_the_others_in_place():
    rows = rows_of({}, {"hidden": ""}, {"ac": "full"})
    assert list(rows.ids) == ["0", "2"]
    assert list(rows.positions) == [0, 2]
    assert rows.order == ("0", "1", "2")
    assert rows.configurations.checkpointing[1] == Checkpointing.FULL


def test_a_file_of_nothing_but_refused_rows_is_no_error():
    rows = rows_of({"hidden": ""})
    assert len(rows) == 0
    assert len(rows.folds) == 0


def test_ragged_lines_and_other_columns_do_not_matter():
    rows = read_rows("row_id,what\na,b,c,d\nx\n")
    assert set(rows.refused) == {"a", "x"}
    with pytest.raises(ValueError, match="row_id"):
        read_rows("id\n1\n")


def test_groups_that_share_code_are_left_out_together():
    rows = rows_of({}, {"source_group": "two"}, {"source_group": "three", "framework": "nanotron"})
    assert rows.folds[0] == rows.folds[1] != rows.folds[2]


def test_each_row_is_compared_on_its_own_metric():
    metrics = ("allocated", "active", "unknown", "reserved", "nvidia_smi")
    rows = rows_of(*({"framework": "nanotron", "memory_metric": metric} for metric in metrics))
    ones = np.ones(5)
    breakdown = MemoryBreakdown({"loss": {"all": 10 * ones}}, context=ones, reserved_factor=2 * ones, safe_factor=ones)
    assert list(rows.predicted_peak(breakdown)) == [10, 10, 10, 20, 21]


def test_an_unknown_metric_is_what_the_framework_prints():
    assert list(rows_of({"memory_metric": "unknown"}, {"memory_metric": ""}, {"memory_metric": "active"}).metric) == [
        "reserved",
        "reserved",
        "active",
    ]
    assert rows_of({"memory_metric": "", "framework": "nanotron"}).metric[0] == "unknown"


def test_memory_without_time_and_time_without_memory():
    rows = rows_of({"time_ready": "no"}, {"mem_ready": "no"}, {"status": "oom", "peak_mem_gib": "", "tokens_per_s_per_gpu": ""})
    assert list(rows.for_memory) == [True, False, False]
    assert list(rows.for_time) == [False, True, False]
    assert list(rows.out_of_memory) == [False, False, True]


def test_families_and_strategies_tell_rows_apart():
    rows = rows_of({}, {"model": "mpt-70b"}, {"ac": "full"}, {"micro_batch": 1})
    assert list(rows.families) == ["llama", "mpt", "llama", "llama"]
    assert rows.strategies[0] == rows.strategies[3] != rows.strategies[2]


ODD = st.sampled_from([
    "", "0", "1", "2", "3", "7", "64", "0.5", "-1", "1e9", "nan", "inf", "true", "false", "foo", "none", "full", "bf16",
    "fp16", "fp32", "fp8", "lora", "qlora", "dora", "qdora", "nf4", "zero1", "zero2", "zero3", "interleaved-1f1b",
    "selective_every_n", "galore_adamw", "apollo_adamw", "paged_adamw8bit", "adamw", "muon", "hf-trainer", "torchtune",
    "nanotron", "megatron", "T4", "H20", "allocated", "oom",
])  # fmt: skip
LENGTHS = st.fixed_dictionaries({
    "seq_len": st.sampled_from(["", "512", "8192"]), "tokens_per_sample": st.sampled_from(["", "100", "1000"]),
    "seq_len_kind": st.sampled_from(["", "fixed", "cap", "longest"]),
    "data_mode": st.sampled_from(["", "fixed", "packed", "padded_to_max", "padded", "padding_free", "padding_free+multipack"]),
})  # fmt: skip
COLUMNS = st.sampled_from([
    *LLAMA, "tokens_per_sample", "ac", "ac_n", "attention", "loss_impl", "optimizer", "quantized_base", "double_quant",
    "lora_rank", "lora_targets", "trainable_params", "param_dtype", "compute_dtype", "grad_dtype", "amp", "master_weights",
    "cpu_offload", "activation_offload", "optimizer_in_backward", "fused_optimizer", "sequence_parallel", "async_tp", "vpp",
    "pp_schedule", "ep", "shard", "shard_degree", "local_batch", "global_batch", "grad_accum", "n_experts", "moe_ffn",
    "experts_per_token", "n_shared_experts", "n_dense_layers", "lowp_recipe", "compile", "liger", "gpus_per_node",
    "inter_node_gbps", "naive_mp", "optimizer_state_bytes_per_param", "step_time_s",
])  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.dictionaries(COLUMNS, ODD, max_size=6), LENGTHS), min_size=1, max_size=8))
def test_whatever_rows_say_they_are_predicted_or_refused_with_a_reason(written):
    rows = rows_of(*({**lengths, **others, "row_id": number} for number, (others, lengths) in enumerate(written)))
    assert len(rows) + len(rows.refused) == len(written)
    assert all(rows.refused.values())
    for size in (estimate_memory(rows.configurations).safe, estimate_memory(rows.configurations).reserved) if len(rows) else ():
        assert np.isfinite(size).all()
        assert (size > 0).all()
