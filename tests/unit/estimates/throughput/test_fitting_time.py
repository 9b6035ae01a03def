from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("scipy")

from farthing.estimates.constants_time import TimeConstants
from farthing.estimates.fitting_time import fit_time, plausible
from farthing.estimates.rows import MeasuredRows, read_rows
from farthing.estimates.throughput import estimate_time

HEADER = (
    "row_id,source_group,framework,model,n_params,hidden,layers,heads,kv_heads,head_dim,ffn,vocab,tied_embeddings,gated_mlp,"
    "gpu,gpu_memory_gib,n_gpus,shard,shard_degree,compute_dtype,optimizer,peft,ac,seq_len,seq_len_kind,micro_batch,"
    "grad_accum,global_batch,status,tokens_per_s_per_gpu,time_ready"
)


def rows() -> MeasuredRows:
    lines = [
        f"r{i},{group},llm-foundry,mpt-{i},,{hidden},{layers},{hidden // 128},{hidden // 128},128,{4 * hidden},50368,true,"
        f"false,A100-80GB,80,8,zero3,8,bf16,adamw,none,full,2048,fixed,{micro},4,{32 * micro},ok,1000,strict"
        for i, (group, hidden, layers, micro) in enumerate(
            (group, hidden, layers, micro)
            for group in ("one", "two")
            for hidden, layers in ((1024, 24), (2048, 24), (4096, 32))
            for micro in (1, 4, 8)
        )
    ]
    return read_rows("\n".join([HEADER, *lines]))


def measured(constants: TimeConstants) -> MeasuredRows:
    found = rows()
    speed = estimate_time(found.configurations, constants).tokens_per_second_per_device
    return replace(found, tokens_per_s_per_gpu=speed)


def prior() -> TimeConstants:
    return TimeConstants(**{name: facts["prior"] for name, facts in TimeConstants.facts().items()})


def test_the_rows_are_accepted():
    assert rows().for_time.all()
    assert len(rows()) == 18


def test_data_that_the_prior_made_gives_the_prior_back():
    fitted = fit_time(measured(prior()))
    for name in TimeConstants.free():
        assert getattr(fitted, name) == pytest.approx(getattr(prior(), name), rel=0.02), name


def test_a_fit_predicts_a_slower_machine():
    truth = replace(prior(), gemm_efficiency=0.65, launch_eager=1.1e-3)
    found = measured(truth)
    speed = estimate_time(found.configurations, fit_time(found)).tokens_per_second_per_device
    assert np.median(np.abs(speed / found.tokens_per_s_per_gpu - 1)) < 0.03


def test_sources_weigh_the_same_however_many_rows_they_have():
    truth = measured(prior())
    speed = np.where(truth.groups == "two", 0.8, 1.0) * truth.tokens_per_s_per_gpu
    mixed = replace(truth, tokens_per_s_per_gpu=speed)
    many = mixed.take(
        np.concatenate([np.flatnonzero(mixed.groups == "one"), np.repeat(np.flatnonzero(mixed.groups == "two"), 9)])
    )
    few = mixed.take(
        np.concatenate([np.repeat(np.flatnonzero(mixed.groups == "one"), 9), np.flatnonzero(mixed.groups == "two")])
    )
    ratios = [
        np.median(estimate_time(truth.configurations, fit_time(each)).tokens_per_second_per_device / truth.tokens_per_s_per_gpu)
        for each in (many, few)
    ]
    assert abs(ratios[0] - ratios[1]) < 0.1


def test_a_measurement_above_the_peak_is_not_fitted():
    found = measured(prior())
    speed = found.tokens_per_s_per_gpu.copy()
    speed[0] *= 50
    wild = replace(found, tokens_per_s_per_gpu=speed)
    assert plausible(wild).tolist() == [False] + [True] * 17
    assert fit_time(wild).gemm_efficiency == pytest.approx(prior().gemm_efficiency, rel=0.03)
