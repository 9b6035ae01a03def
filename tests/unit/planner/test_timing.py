"""Step time: the calibration on one core, agreement with published throughput, what each part costs."""

from dataclasses import replace

import pytest
from tests.unit.planner.builders import ask_of, offer_of

from farthing.domain.plan import Allocation, Strategy
from farthing.planner import plan
from farthing.planner.drafts import drafts
from farthing.planner.efficiency import kernel_rate, observed_mfu
from farthing.planner.timing import step_time

CPU_STRATEGY = Strategy("float32", "None", "Root", "None", micro_batch=2, accumulation=1, adapter="None")


def gang(count: int) -> Allocation:
    return Allocation("laptop", "cpu-slot", 1, count)


def tokens_per_slot(rate: float, count: int, strategy: Strategy = CPU_STRATEGY) -> float:
    request = ask_of(global_batch=count * strategy.micro_batch * strategy.accumulation)
    seconds = step_time(request, offer_of(measured_flops_per_second=rate), gang(count), strategy).seconds
    return strategy.micro_batch * strategy.accumulation * request.sequence_length / seconds


@pytest.mark.parametrize(("micro", "measured"), [(1, 8471), (2, 9099), (4, 9570)])
def test_one_process_agrees_with_the_calibration(micro, measured):
    """Measured: this shape, one torch thread, a core whose GEMM rate by `farthing up`'s method is 1.28e11 FLOP/s."""
    strategy = replace(CPU_STRATEGY, micro_batch=micro)
    assert tokens_per_slot(1.28e11, 1, strategy) == pytest.approx(measured, rel=0.1)


def test_two_workers_lie_within_the_stated_spread():
    """The trainer made 3,240 and 3,320 tokens a second in each of two workers, on busy cores: two standard deviations."""
    predicted = plan(ask_of(min_accelerators=2, pools=(offer_of(measured_flops_per_second=1.28e11),))).best.tokens_per_second
    assert predicted.quantile(0.025) < 2 * 3240 < 2 * 3320 < predicted.quantile(0.975)


def test_one_root_unit_is_faster_than_one_a_layer_on_a_cpu():
    root = tokens_per_slot(4.0e10, 2, replace(CPU_STRATEGY, sharding="FullShard"))
    layers = tokens_per_slot(4.0e10, 2, replace(CPU_STRATEGY, sharding="FullShard", grouping="PerLayer"))
    assert layers < root < tokens_per_slot(4.0e10, 2)


def test_recomputing_costs_time():
    full = replace(CPU_STRATEGY, activation_checkpointing="Full")
    ratio = tokens_per_slot(4.0e10, 1) / tokens_per_slot(4.0e10, 1, full)
    assert 1.15 < ratio < 1.35


def test_a_collective_less_is_worth_accumulating():
    """A larger micro-batch pays for fewer gathers."""
    sharded = replace(CPU_STRATEGY, sharding="FullShard")
    split = replace(sharded, micro_batch=1, accumulation=2)
    assert tokens_per_slot(4.0e10, 2, split) < tokens_per_slot(4.0e10, 2, sharded)


@pytest.mark.parametrize(("checkpointing", "seq", "measured"), [("None", 4096, 5339.0), ("Full", 4096, 4502.0)])
def test_llama_8b_on_8_h100_agrees_with_published_throughput(checkpointing, seq, measured):
    """torchao's rows on torchtitan, eager FSDP2, tokens a second and GPU; within a quarter."""
    strategy = Strategy("bfloat16", "FullShard", "PerLayer", checkpointing, 1, 1, "None")
    request = ask_of("llama-3.1-8b", sequence_length=seq, global_batch=8)
    h100 = offer_of("h100", "H100-80GB-SXM")
    seconds = step_time(request, h100, Allocation("h100", "H100-80GB-SXM", 1, 8), strategy).seconds
    assert seq / seconds == pytest.approx(measured, rel=0.25)


def test_small_models_are_bound_by_launches_on_a_gpu():
    request, a100 = ask_of(global_batch=1), offer_of("a100", "A100-80GB-SXM")
    strategy = Strategy("bfloat16", "None", "Root", "None", 1, 1, "None")
    compiled = replace(strategy, compile=True)
    alone = Allocation("a100", "A100-80GB-SXM", 1, 1)
    assert step_time(request, a100, alone, compiled).compute < step_time(request, a100, alone, strategy).compute
    assert step_time(request, a100, alone, strategy).compute == pytest.approx(4 * 2.35e-3 * 3 / 4)


def test_nodes_apart_are_slower_than_nodes_together():
    request, a100 = ask_of("llama-3.1-8b", global_batch=16, sequence_length=512), offer_of("a100", "A100-80GB-SXM")
    strategy = Strategy("bfloat16", "FullShard", "Root", "None", 1, 1, "None")
    together = step_time(request, a100, Allocation("a100", "A100-80GB-SXM", 1, 16), strategy)
    apart = step_time(request, a100, Allocation("a100", "A100-80GB-SXM", 2, 8), strategy)
    assert together.communication < apart.communication


def test_utilisation_is_by_type_with_a_cautious_default():
    assert observed_mfu(offer_of("a", "A100-40GB-SXM").accelerator) == 0.509
    assert observed_mfu(offer_of("a", "L4").accelerator) == 0.40


def test_an_unknown_rate_is_an_error_not_a_guess():
    with pytest.raises(ValueError, match="no bfloat16 rate is known for T4"):
        kernel_rate(offer_of("t4", "T4"), 4096, "bfloat16")


def test_drafts_are_the_same_twice():
    assert drafts(ask_of(), offer_of()) == drafts(ask_of(), offer_of())
