"""Constants come back from measurements that were made with them."""

from dataclasses import replace

import numpy as np
import pytest

from farthing.estimates.constants_memory import MemoryConstants
from farthing.estimates.memory import estimate_memory
from farthing.estimates.rows import MeasuredRows, read_rows

pytest.importorskip("scipy")

from farthing.estimates.fitting_memory import MARGINS, fit_memory

HEADER = (
    "row_id,source_group,framework,n_params,hidden,layers,heads,kv_heads,head_dim,ffn,vocab,tied_embeddings,gated_mlp,gpu,"
    "gpu_memory_gib,n_gpus,dp,shard,shard_degree,ac,loss_impl,micro_batch,grad_accum,seq_len,seq_len_kind,memory_metric,"
    "peak_mem_gib,status,mem_ready"
)
MODEL = "8030261248,4096,32,32,8,128,14336,128256,false,true,H100-80GB,80,8,8,zero3,8"


def rows(constants: MemoryConstants) -> MeasuredRows:
    """Sixteen runs of two sources, measured as those constants say."""
    lines = [
        f"{source}{loss}{batch}{ac},{source},unheard-of,{MODEL},{ac},{loss},{batch},1,4096,fixed,allocated,1,ok,strict"
        for source in ("a", "b") for loss in ("eager", "compiled") for batch in (2, 4) for ac in ("full", "none")
    ]  # fmt: skip
    read = read_rows("\n".join([HEADER, *lines]))
    return replace(read, peak=estimate_memory(read.configurations, constants).allocated)


def test_a_fit_finds_the_constants_that_made_the_rows():
    made_with = replace(MemoryConstants(), wide_logit_bytes=10.8)
    measured = rows(made_with)
    found = fit_memory(measured)
    error = estimate_memory(measured.configurations, found).allocated / measured.peak - 1
    assert np.abs(error).max() < 0.05
    assert found.wide_logit_bytes < 11.6


def test_without_measured_rows_the_constants_stay():
    nothing = rows(MemoryConstants()).take(np.zeros(16, dtype=bool))
    assert fit_memory(nothing) == MemoryConstants()


def test_the_margin_of_admission_covers_what_was_allocated_within_its_bounds():
    close = rows(MemoryConstants())
    close = replace(close, allocated=close.peak)
    assert fit_memory(close).safe_active == MARGINS[0]
    assert fit_memory(replace(close, allocated=1.5 * close.peak)).safe_active == MARGINS[1]
