"""Properties that every memory estimate must have, and closed forms checked against published measurements."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.estimates.configuration import Configurations, configurations
from farthing.estimates.memory import estimate_memory
from farthing.units import GIB

LLAMA_8B = {
    "hidden": 4096, "layers": 32, "heads": 32, "query_width": 4096, "kv_width": 1024, "vocabulary": 128256, "active_ffn": 14336,
    "mlp_matrices": 3, "experts": 0, "experts_per_token": 0, "parameters": 8030261248, "embedding_parameters": 525336576,
    "tied": 0, "layer_parameters": 218112000, "layer_matmul_parameters": 218103808, "expert_parameters": 0,
    "device_memory": 79.1 * GIB, "peak_flops": 989e12, "peak_fp8_flops": 0, "memory_bandwidth": 3.35e12,
    "link_bandwidth": 4.5e11,
    "inter_node_bandwidth": np.nan, "devices_per_node": 8, "is_cpu": 0, "devices": 8, "dp": 8, "sharding": 3,
    "shard_degree": 8, "tp": 1, "sequence_parallel": 0, "async_tp": 0, "pp": 1, "vpp": 1, "cp": 1, "ep": 1, "root_unit": 0,
    "sequence_length": 4096, "longest_sequence": 4096,
    "micro_batch": 1, "accumulation": 1, "compute_bytes": 2, "parameter_bytes": 4, "frozen_bytes": 4,
    "frozen_other_bytes": 4, "gradient_bytes": 4, "extra_gradient_bytes": 0, "master_bytes": 0, "state_bytes": 8,
    "step_transient_bytes": 0, "reduce_bytes": 4, "residual_bytes": 2, "autocast_copy": 0, "fp8": 0, "trainable": 8030261248,
    "has_adapter": 0, "quantized": 0, "decomposed_width": 0, "decomposed_parameters": 0,
    "checkpointing": 4, "checkpoint_every": 1, "attention": 2, "loss": 0, "compiled": 0,
    "fused_norms": 0, "optimizer_in_backward": 0, "offload_states": 0, "offload_activations": 0, "variable_length": 0,
    "expandable_segments": 1,
}  # fmt: skip
"""Llama-3.1-8B on eight H100s under FSDP2, full activation checkpointing, eager."""

VARIED = st.fixed_dictionaries({
    "checkpointing": st.sampled_from([0, 1, 2, 3, 4]),
    "loss": st.sampled_from([0, 1, 2, 3, 4]),
    "attention": st.sampled_from([0, 1, 2]),
    "compiled": st.sampled_from([0, 1]),
    "accumulation": st.sampled_from([1, 4]),
    "longest_sequence": st.sampled_from([512, 4096]),
    "has_adapter": st.sampled_from([0, 1]),
    "optimizer_in_backward": st.sampled_from([0, 1]),
    "offload_activations": st.sampled_from([0, 1]),
    "extra_gradient_bytes": st.sampled_from([0, 2]),
    "root_unit": st.sampled_from([0, 1]),
    "tp": st.sampled_from([1, 2]),
    "pp": st.sampled_from([1, 2, 4]),
    "sharding": st.sampled_from([1, 2, 3]),
    "is_cpu": st.sampled_from([0, 1]),
    "variable_length": st.sampled_from([0, 1]),
})  # fmt: skip


def made(**changes: object) -> Configurations:
    """Llama-3.1-8B with some columns changed."""
    columns = LLAMA_8B | changes
    if columns["has_adapter"]:
        columns["trainable"] = 13_631_488
    return configurations(columns)


@given(VARIED)
@settings(max_examples=60, deadline=None)
def test_from_two_shards_on_more_shards_never_need_more(varied):
    found = estimate_memory(made(**varied, shard_degree=np.array([2.0, 4.0, 8.0, 64.0]), devices=64))
    assert (np.diff(found.allocated) <= 1.0).all()
    assert (np.diff(found.safe) <= 1.0).all()


@given(VARIED)
@settings(max_examples=60, deadline=None)
def test_a_larger_micro_batch_never_needs_less(varied):
    found = estimate_memory(made(**varied, micro_batch=np.array([1.0, 2.0, 3.0, 8.0])))
    for bytes_ in (found.allocated, found.reserved, found.safe):
        assert (np.diff(bytes_) >= -1.0).all()


@given(VARIED)
@settings(max_examples=60, deadline=None)
def test_terms_are_not_negative_and_sum_to_the_peak(varied):
    found = estimate_memory(made(**varied))
    assert all((term >= 0).all() for phase in found.terms.values() for term in phase.values())
    assert found.allocated == pytest.approx(
        max(sum(float(term[0]) for term in phase.values()) for phase in found.terms.values())
    )
    assert found.allocated <= found.reserved <= found.used
    assert found.allocated <= found.safe


@pytest.mark.parametrize(
    ("changes", "measured"),
    [
        ({}, 28.1),
        ({"checkpointing": 0}, 52.7),
        ({"checkpointing": 0, "compiled": 1}, 46.6),
        ({"checkpointing": 2, "checkpoint_every": 2}, 41.0),
        ({"checkpointing": 1, "micro_batch": 2, "longest_sequence": 8192}, 82.4),
        ({"checkpointing": 1, "micro_batch": 2, "longest_sequence": 8192, "shard_degree": 128, "devices": 128}, 67.0),
    ],
)
def test_llama_8b_under_fsdp2(changes, measured):
    """torchtitan's logs of reserved memory."""
    assert float(estimate_memory(made(**changes)).reserved[0]) / GIB == pytest.approx(measured, rel=0.08)


def test_pure_16_bit_adamw_peaks_in_the_foreach_step_at_ten_bytes_a_parameter():
    """Mistral-7B and Llama-3-8B on one A100: 10.0 bytes a parameter measured."""
    alone = {"sharding": 0, "shard_degree": 1, "devices": 1, "dp": 1}
    dtypes = {"parameter_bytes": 2, "gradient_bytes": 2, "state_bytes": 4, "step_transient_bytes": 2}
    found = estimate_memory(made(**alone, **dtypes, longest_sequence=128))
    assert float(found.allocated[0]) == pytest.approx(10.0 * LLAMA_8B["parameters"], rel=0.001)


def test_gradients_are_there_in_the_loss_phase_only_where_micro_batches_accumulate():
    once, often = (estimate_memory(made(accumulation=n)).terms["loss"]["gradients"][0] for n in (1, 2))
    assert once == 0
    assert often == pytest.approx(4 * LLAMA_8B["parameters"] / 8)


def test_whole_gradients_that_pile_up_do_not_shrink_with_shards():
    piled = estimate_memory(made(accumulation=2, extra_gradient_bytes=2, shard_degree=np.array([2.0, 64.0])))
    assert piled.terms["loss"]["gradients"] == pytest.approx(2 * LLAMA_8B["parameters"])


def test_experts_are_sharded_by_the_ranks_that_do_not_split_them():
    mixture = {"experts": 8, "experts_per_token": 2, "expert_parameters": 1.4e9, "layer_parameters": 1.45e9, "parameters": 47e9}
    states = estimate_memory(made(**mixture, trainable=47e9, ep=np.array([1.0, 4.0, 8.0]))).terms["optimizer"][
        "optimizer states"
    ]
    assert states == pytest.approx(8 * 47e9 / 8, rel=0.05)


def test_the_first_stage_holds_more_micro_batches_and_the_last_the_logits():
    terms = estimate_memory(made(pp=4, accumulation=8, checkpointing=0)).terms
    assert terms["backward"]["activations"] > 3 * terms["loss"]["activations"]
    assert "logits" not in terms["backward"]


def test_phases_of_a_host_are_nothing_on_a_device():
    device, host = (estimate_memory(made(is_cpu=cpu)) for cpu in (0, 1))
    assert all(term == 0 for phase in ("load", "save") for term in device.terms[phase].values())
    assert host.terms["save"]["exported weights"] > 0
    assert host.reserved == host.allocated


@given(VARIED)
@settings(max_examples=30, deadline=None)
def test_decomposed_adapters_keep_outputs_and_merge_a_weight(varied):
    adapted = {**varied, "has_adapter": 1}
    plain = estimate_memory(made(**adapted))
    split = estimate_memory(made(**adapted, decomposed_width=28672, decomposed_parameters=167772160))
    assert (split.allocated >= plain.allocated).all()
    assert split.terms["backward"]["merged weight"] == 3 * 2 * 4096 * 14336 / adapted["tp"]
    assert plain.terms["backward"]["merged weight"] == 0


@given(VARIED)
@settings(max_examples=40, deadline=None)
def test_offload_never_needs_more_and_holds_two_layers_of_what_waits_on_the_host(varied):
    single = {**varied, "shard_degree": 1, "dp": 1, "devices": 1, "pp": 1, "tp": 1, "is_cpu": 0, "root_unit": 0}
    here, away = estimate_memory(made(**single)), estimate_memory(made(**single, offload_states=1))
    assert (away.terms["backward"]["parameters"] == 0).all()
    assert (away.terms["backward"]["unsharded"] >= 2 * 2 * 218112000).all()
    assert (away.allocated <= here.allocated).all()
