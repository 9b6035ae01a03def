"""From draft to plan: energy, what a pod asks for, and what of a plan survives being stored."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from tests.unit.planner.builders import ask_of, offer_of

from farthing.api.amounts import Axis
from farthing.domain.plan import Plan
from farthing.planner import plan
from farthing.planner.energy import IDLE_SHARE, TRAINING_LOAD
from farthing.planner.estimate import GPU_HOST_BYTES, NCCL_SHM_BYTES, SHM_BYTES
from farthing.units import MIB

STORED = TypeAdapter(Plan)
GPU = {"pools": (offer_of("a100", "A100-80GB-SXM"),), "remaining": {Axis.COST: Decimal(5)}}


def test_energy_is_the_design_power_over_the_time_held():
    best = plan(ask_of("llama-110m", max_accelerators=1, **GPU)).best
    busy = best.seconds.value - best.startup_seconds.value
    watts = 400 * (IDLE_SHARE + (1 - IDLE_SHARE) * TRAINING_LOAD)
    expected = (watts * busy + 400 * IDLE_SHARE * best.startup_seconds.value) / 3.6e6
    assert best.energy.value == pytest.approx(expected)
    assert (best.energy.unit, "400 W design power" in best.energy.source) == ("kWh", True)


def test_energy_is_less_certain_where_the_time_is():
    timed = plan(ask_of("llama-110m", **GPU | {"remaining": {Axis.TOKENS: Decimal(10**8)}})).best.energy
    bought = plan(ask_of("llama-110m", **GPU)).best.energy
    assert timed.sigma > bought.sigma


def test_nobody_states_the_power_of_a_slot():
    assert plan(ask_of()).best.energy is None


@pytest.mark.parametrize("changes", [{}, GPU])
def test_a_stored_plan_is_read_back_equal(changes):
    best = plan(ask_of(**changes)).best
    assert STORED.validate_json(STORED.dump_json(best)) == best


def test_a_plan_stored_before_energy_was_told_still_loads():
    best = plan(ask_of(**GPU)).best
    stored = json.loads(STORED.dump_json(best))
    del stored["energy"]
    old = STORED.validate_python(stored)
    assert old.energy is None
    assert (old.seconds, old.memory) == (best.seconds, best.memory)


def test_a_gpu_pod_asks_for_host_memory():
    best = plan(ask_of("llama-110m", min_accelerators=2, max_accelerators=2, **GPU)).best
    states = sum(best.memory.terms["optimizer"][name] for name in ("parameters", "optimizer states"))
    whole_tensor = 4 * max(best_shape().embedding_parameters, best_shape().hidden * best_shape().ffn)
    assert best.shm_bytes == SHM_BYTES + 2 * NCCL_SHM_BYTES
    asked = 2 * (GPU_HOST_BYTES + states + whole_tensor) + best.shm_bytes
    assert asked <= best.memory_request_bytes < asked + MIB


def best_shape():
    return ask_of("llama-110m").shape


@settings(max_examples=15, deadline=None)
@given(st.integers(10**6, 10**10), st.integers(1, 10**10))
def test_more_tokens_never_cost_less(tokens, more):
    def cheapest(count: int) -> Plan:
        request = ask_of("llama-110m", **GPU | {"remaining": {Axis.TOKENS: Decimal(count)}})
        return next(p for p in plan(request).plans if p.world_size == 4 and p.strategy.sharding == "FullShard")

    few, many = cheapest(tokens), cheapest(tokens + more)
    for name in ("cost", "seconds", "flops", "energy"):
        assert getattr(many, name).value >= getattr(few, name).value
