from dataclasses import fields

import numpy as np
import pytest

from farthing.estimates.configuration import Attention, Checkpointing, Configurations, Loss, Sharding, configurations
from farthing.estimates.constants_time import TimeConstants
from farthing.estimates.throughput import estimate_time
from farthing.estimates.throughput.communication import sharded_layer
from farthing.estimates.throughput.compute import kernels
from farthing.estimates.throughput.launch import unfused_softmax
from farthing.estimates.throughput.pipeline import bubble, stage_layers
from farthing.estimates.throughput.sustained import UNKNOWN_SHARE, is_known, sustained_share

H, L, Q, KV, F, V = 4096.0, 32.0, 4096.0, 1024.0, 14336.0, 128256.0
MATMUL = 2 * H * (Q + KV) + 3 * H * F
LLAMA_8B = {
    "hidden": H, "layers": L, "heads": 32, "query_width": Q, "kv_width": KV, "vocabulary": V, "active_ffn": F,
    "mlp_matrices": 3, "experts": 0, "experts_per_token": 0, "parameters": L * MATMUL + 2 * V * H,
    "embedding_parameters": V * H, "tied": 0, "layer_parameters": MATMUL, "layer_matmul_parameters": MATMUL,
    "expert_parameters": 0,
}  # fmt: skip
H100 = {
    "device_memory": 85e9, "peak_flops": 989e12, "peak_fp8_flops": 1979e12, "memory_bandwidth": 3.35e12,
    "link_bandwidth": 450e9, "inter_node_bandwidth": 50e9, "devices_per_node": 8, "is_cpu": 0,
}  # fmt: skip
RUN = {
    "devices": 8, "dp": 8, "sharding": Sharding.ZERO3, "shard_degree": 8, "tp": 1, "sequence_parallel": 0, "async_tp": 0,
    "pp": 1, "vpp": 1, "cp": 1, "ep": 1, "root_unit": 0, "sequence_length": 4096, "longest_sequence": 4096, "micro_batch": 2,
    "accumulation": 4, "compute_bytes": 2, "parameter_bytes": 4, "frozen_bytes": 2, "frozen_other_bytes": 2,
    "gradient_bytes": 4, "extra_gradient_bytes": 0, "master_bytes": 0, "state_bytes": 8, "step_transient_bytes": 0,
    "reduce_bytes": 4, "residual_bytes": 2, "autocast_copy": 0, "fp8": 0, "trainable": LLAMA_8B["parameters"],
    "has_adapter": 0, "quantized": 0, "checkpointing": Checkpointing.FULL, "checkpoint_every": 1, "attention": Attention.FLASH,
    "loss": Loss.COMPILED, "compiled": 1, "fused_norms": 1, "optimizer_in_backward": 0, "offload_states": 0,
    "offload_activations": 0, "variable_length": 0,
}  # fmt: skip


def llama(**changes) -> Configurations:
    others = {each.name: 0 for each in fields(Configurations)}
    return configurations({**others, **LLAMA_8B, **H100, **RUN, **changes})


def seconds(**changes) -> np.ndarray:
    return estimate_time(llama(**changes)).step_seconds


def speed(**changes) -> np.ndarray:
    return estimate_time(llama(**changes)).tokens_per_second_per_device


def test_an_8b_on_eight_h100_reaches_a_third_to_a_half_of_the_peak():
    used = speed() * (6 * (L * MATMUL + V * H) + 6 * L * Q * 4096) / 989e12
    assert 0.30 < used[0] < 0.55


def test_terms_are_finite_not_negative_and_sum_to_the_step():
    found = estimate_time(llama(tp=[1, 2], dp=[8, 4], shard_degree=[8, 4]))
    assert all(np.isfinite(each).all() and (each >= 0).all() for each in found.terms.values())
    assert found.step_seconds == pytest.approx(np.sum(list(found.terms.values()), axis=0))


def test_one_column_of_many_is_the_same_as_each_alone():
    together = speed(micro_batch=[1, 2, 4], accumulation=[8, 4, 2])
    alone = [speed(micro_batch=m, accumulation=a)[0] for m, a in ((1, 8), (2, 4), (4, 2))]
    assert together == pytest.approx(alone)


def test_tokens_of_a_step_count_every_replica_and_micro_batch():
    assert estimate_time(llama()).tokens_per_step == pytest.approx(8 * 2 * 4 * 4096)


@pytest.mark.parametrize("column", ["micro_batch", "accumulation", "sequence_length"])
def test_more_work_takes_longer(column):
    values = np.array([1.0, 2.0, 4.0, 8.0]) * (512 if column == "sequence_length" else 1)
    assert (np.diff(seconds(**{column: values})) > 0).all()


def test_a_larger_micro_batch_is_never_slower_per_token():
    assert (np.diff(speed(micro_batch=[1, 2, 4, 8], accumulation=[8, 4, 2, 1])) >= 0).all()


def test_computing_more_again_takes_longer():
    order = [Checkpointing.NONE, Checkpointing.SELECTIVE_ATTENTION, Checkpointing.SELECTIVE_OP, Checkpointing.FULL]
    assert (np.diff(seconds(checkpointing=np.array(order, dtype=float))) > 0).all()


def test_every_second_layer_lies_between_none_and_full():
    none, second, full = (
        seconds(checkpointing=each, checkpoint_every=2)[0]
        for each in (Checkpointing.NONE, Checkpointing.SELECTIVE_EVERY_N, Checkpointing.FULL)
    )
    assert none < second < full


def test_faster_hardware_is_never_slower():
    for column, values in (
        ("peak_flops", [500e12, 700e12, 900e12]),
        ("memory_bandwidth", [2e12, 2.5e12, 4.5e12]),
        ("link_bandwidth", [50e9, 200e9, 450e9]),
    ):
        assert (np.diff(speed(**{column: values})) >= 0).all(), column


def test_launches_dominate_a_tiny_eager_model_and_compiling_removes_them():
    tiny = {"hidden": 256, "query_width": 256, "kv_width": 256, "active_ffn": 1024, "layer_parameters": 1e6,
            "layer_matmul_parameters": 1e6, "embedding_parameters": 8e6, "trainable": 4e7, "micro_batch": 1,
            "sequence_length": 256, "devices": 1, "dp": 1, "sharding": Sharding.NONE, "shard_degree": 1}  # fmt: skip
    eager = estimate_time(llama(**tiny, compiled=0))
    assert eager.terms["launches"][0] > 0.5 * eager.step_seconds[0]
    assert seconds(**tiny)[0] < 0.5 * eager.step_seconds[0]


def test_eager_attention_is_slower_than_fused_on_long_sequences():
    assert seconds(attention=Attention.EAGER, sequence_length=8192)[0] > seconds(sequence_length=8192)[0]


def test_frozen_weights_have_no_gradients_of_their_own():
    adapter = {"has_adapter": 1, "trainable": 2e7}
    assert estimate_time(llama(**adapter)).terms["matmuls"][0] == pytest.approx(
        0.75 * estimate_time(llama()).terms["matmuls"][0], rel=1e-6
    )


def test_dequantizing_costs_time():
    frozen = {"has_adapter": 1, "trainable": 2e7}
    assert seconds(**frozen, quantized=1)[0] > seconds(**frozen)[0]


def test_eight_bits_pay_where_the_device_has_them_and_are_nothing_elsewhere():
    assert speed(fp8=1)[0] > 1.05 * speed()[0]
    assert speed(fp8=1, peak_fp8_flops=0)[0] <= speed()[0]


def test_one_device_communicates_nothing():
    alone = estimate_time(llama(devices=1, dp=1, shard_degree=1, sharding=Sharding.NONE))
    for name in ("sharded parameters", "tensor-parallel collectives", "context-parallel ring", "gradient all-reduce",
                 "pipeline hops", "pipeline bubble"):  # fmt: skip
        assert alone.terms[name][0] == 0.0, name


def test_unsharded_replicas_pay_an_all_reduce_and_more_between_nodes():
    inside = estimate_time(llama(sharding=Sharding.NONE, shard_degree=1)).terms["gradient all-reduce"][0]
    between = estimate_time(llama(sharding=Sharding.NONE, shard_degree=1, devices=64, dp=64, inter_node_bandwidth=2e9))
    assert 0 < inside < between.terms["gradient all-reduce"][0]


def test_an_unknown_network_takes_the_default():
    known = seconds(devices=64, dp=64, shard_degree=64, inter_node_bandwidth=TimeConstants().network_default)
    assert seconds(devices=64, dp=64, shard_degree=64, inter_node_bandwidth=np.nan) == pytest.approx(known)


def test_the_bubble_is_p_minus_one_micro_batches_and_interleaving_divides_it():
    run = {"pp": 4, "dp": 2, "shard_degree": 2, "accumulation": 8}
    plain = estimate_time(llama(**run)).terms
    busy = sum(float(plain[name][0]) for name in plain if name not in
               {"pipeline bubble", "gradient all-reduce", "optimizer", "fixed"})  # fmt: skip
    assert plain["pipeline bubble"][0] == pytest.approx(3 / 8 * busy)
    assert bubble(llama(pp=4, vpp=2), np.array([1.0]))[0] == pytest.approx(1.5)


def test_layers_that_do_not_divide_fill_the_largest_stage():
    assert stage_layers(llama(layers=126, pp=8))[0] == 16
    assert stage_layers(llama(layers=32, pp=4))[0] == 8


def test_overlapped_collectives_hide_part_of_themselves():
    overlapped = seconds(tp=2, dp=4, shard_degree=4, async_tp=1)[0]
    assert overlapped < seconds(tp=2, dp=4, shard_degree=4)[0]


def test_the_share_of_a_published_device_is_used_and_the_others_are_less_certain():
    both = llama(peak_flops=[989e12, 400e12])
    assert sustained_share(both) == pytest.approx([0.801, UNKNOWN_SHARE])
    assert is_known(both).tolist() == [1.0, 0.0]
    sigma = estimate_time(both).sigma
    assert sigma[1] > sigma[0] > 0


def test_experts_route_and_exchange():
    routed = {
        "experts": 8,
        "experts_per_token": 2,
        "expert_parameters": 8 * 3 * H * F,
        "active_ffn": 2 * F,
        "layer_parameters": 2 * H * (Q + KV) + 8 * 3 * H * F,
        "layer_matmul_parameters": 2 * H * (Q + KV) + 6 * H * F,
    }
    assert estimate_time(llama(**routed)).terms["experts"][0] > 0
    assert estimate_time(llama(**routed, ep=8)).terms["experts"][0] > estimate_time(llama(**routed)).terms["experts"][0]


def test_constants_are_positive_and_say_what_they_mean():
    for name, facts in TimeConstants.facts().items():
        assert getattr(TimeConstants(), name) > 0
        assert facts["prior"] > 0
        assert facts["meaning"]
    assert set(TimeConstants.free()) < set(TimeConstants.facts())


def test_a_fused_softmax_takes_attention_matrices_in_fours():
    eager = {"attention": Attention.EAGER, "heads": 16, "compiled": 0}
    found = unfused_softmax(llama(**eager, tp=[8, 8, 4, 8], micro_batch=[1, 2, 1, 3], dp=1))
    assert list(found) == [1, 0, 0, 1]
    assert list(unfused_softmax(llama(**{**eager, "fused_norms": 0}, tp=8, micro_batch=1, dp=1))) == [0]
    assert list(unfused_softmax(llama(heads=16, tp=8, micro_batch=1, dp=1))) == [0]
    small = {**eager, "hidden": 256, "sequence_length": 128, "dp": 1, "shard_degree": 1, "sharding": Sharding.NONE, "tp": 8}
    fused, apart = (estimate_time(llama(**{**small, "heads": heads}, micro_batch=1)).terms["launches"] for heads in (32, 16))
    assert apart > fused


def test_fused_and_compiled_layers_launch_fewer_kernels():
    eager, fused, compiled = kernels(llama(compiled=[0, 0, 1], fused_norms=[0, 1, 1]))
    assert eager > fused > compiled > 0


def test_experts_that_ranks_split_are_not_gathered_from_them():
    experts = {"experts": 8, "experts_per_token": 2, "expert_parameters": 0.9 * MATMUL, "sharding": Sharding.ZERO3}
    whole, split, all_ranks = (
        sharded_layer(llama(**experts, ep=ranks), TimeConstants(collective_launch=1e-9, hop_latency=1e-12))[0]
        for ranks in (1, 2, 8)
    )
    assert split / whole == pytest.approx((0.1 * 7 / 8 + 0.45 * 3 / 4) / (7 / 8), rel=1e-3)
    assert all_ranks / whole == pytest.approx(0.1, rel=1e-3)


def test_decomposed_adapters_are_slower_than_plain_ones():
    adapted = {"has_adapter": 1, "trainable": 2e7, "micro_batch": [1, 8]}
    plain = seconds(**adapted)
    split = seconds(**adapted, decomposed_width=2 * Q + 2 * KV, decomposed_parameters=2 * H * (Q + KV))
    assert (split > plain).all()
    assert (split < 3 * plain).all()


def test_offloaded_states_come_over_the_hosts_link():
    near, far = (estimate_time(llama(offload_states=offloaded, micro_batch=[1, 8])) for offloaded in (0, 1))
    assert (near.terms["host link"] == 0).all()
    assert (far.step_seconds > near.step_seconds).all()
    assert (far.sigma > near.sigma).all()
    hidden = far.terms["host link"]
    assert hidden[1] < hidden[0], "more arithmetic hides more of the same bytes"
    assert hidden[0] <= 4 * L * (2 * 4 + 4) * MATMUL / 8 / 2.5e10


def test_a_model_that_is_one_unit_is_launched_faster_and_hides_nothing():
    layers, root = (estimate_time(llama(root_unit=unit, micro_batch=[1, 8], compiled=0, fused_norms=0)) for unit in (0, 1))
    assert (root.terms["launches"] < layers.terms["launches"]).all()
    assert (root.terms["sharded parameters"] > layers.terms["sharded parameters"])[1], "a large micro-batch hides gathers"
    assert root.terms["sharded parameters"][0] == root.terms["sharded parameters"][1]
