"""Step time of the CPU trainer: the calibration on one core, and what each part costs."""

from dataclasses import replace

import pytest
from tests.unit.planner.builders import ask_of, offer_of

from farthing.domain.plan import Allocation, Strategy
from farthing.planner import plan
from farthing.planner.cpu_timing import kernel_rate, step_time

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


def test_one_root_unit_is_faster_than_one_a_layer():
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


def test_an_unknown_rate_is_an_error_not_a_guess():
    with pytest.raises(ValueError, match="no bfloat16 rate is known for cpu-slot"):
        kernel_rate(offer_of(measured_flops_per_second=None), 4096, "bfloat16")
