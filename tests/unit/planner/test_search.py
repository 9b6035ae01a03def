"""The search: legal, exact, deterministic, obedient, and best first."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.planner.builders import ask_of, offer_of

from farthing.api.amounts import Axis
from farthing.api.job import StrategySpec
from farthing.planner import plan
from farthing.planner.search import _rank
from farthing.units import GIB, MIB

FEW = settings(max_examples=40, deadline=None)
batches = st.sampled_from([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64])


@FEW
@given(batches, st.sampled_from(["cpu-slot", "A100-80GB-SXM"]), st.integers(1, 4), st.integers(0, 60))
def test_every_plan_factors_the_global_batch_exactly(batch, row, least, more):
    request = ask_of(
        global_batch=batch,
        pools=(offer_of("pool", row),),
        min_accelerators=least,
        max_accelerators=least + more,
        remaining={Axis.COST: Decimal(10)},
    )
    for found in plan(request).plans:
        strategy = found.strategy
        assert found.world_size * strategy.micro_batch * strategy.accumulation == batch
        assert least <= found.world_size <= least + more
        assert found.allocation.pods == 1 or found.allocation.accelerators_per_pod == 8


@FEW
@given(st.decimals("0.01", "50", places=4), st.decimals("0", "50", places=4), st.sampled_from(["cost", "acceleratorHours"]))
def test_more_budget_never_buys_fewer_tokens(amount, more, axis):
    def bought(budget: Decimal) -> float:
        best = plan(ask_of(remaining={Axis(axis): budget})).best
        return best.tokens.value if best else 0.0

    assert bought(amount + more) >= bought(amount)


@FEW
@given(st.data())
def test_what_the_user_fixed_is_kept(data):
    fixed = StrategySpec(
        sharding=data.draw(st.sampled_from([None, "None", "FullShard"])),
        grouping=data.draw(st.sampled_from([None, "Root", "PerLayer"])),
        precision=data.draw(st.sampled_from([None, "float32", "bfloat16"])),
        activation_checkpointing=data.draw(st.sampled_from([None, "None", "Full"])),
        micro_batch_size=data.draw(st.sampled_from([None, 1, 2])),
        deterministic=data.draw(st.sampled_from([None, True])),
    )
    plans = plan(ask_of(pools=(offer_of("pool", "A100-80GB-SXM"),), fixed=fixed, remaining={Axis.COST: Decimal(5)})).plans
    assert plans
    for found in plans:
        strategy = found.strategy
        assert fixed.sharding in (None, strategy.sharding)
        assert fixed.grouping in (None, strategy.grouping)
        assert fixed.precision in (None, strategy.precision)
        assert fixed.activation_checkpointing in (None, strategy.activation_checkpointing)
        assert fixed.micro_batch_size in (None, strategy.micro_batch)
        assert strategy.deterministic == bool(fixed.deterministic)


@FEW
@given(st.floats(0.001, 0.5), st.floats(0.0001, 0.4))
def test_quantiles_rise(low, more):
    best = plan(ask_of()).best
    for number in (best.step_seconds, best.tokens_per_second, best.tokens, best.seconds, best.cost, best.loss):
        assert number.quantile(low) <= number.quantile(low + more)
        assert number.quantile(0.5) == pytest.approx(number.value)


def test_the_same_question_gets_the_same_answer():
    pools = (offer_of(), offer_of("a100", "A100-80GB-SXM"))
    assert plan(ask_of(pools=pools)) == plan(ask_of(pools=pools))


def test_best_first():
    plans = plan(ask_of(pools=(offer_of(), offer_of("a100", "A100-80GB-SXM")))).plans
    assert list(plans) == sorted(plans, key=_rank)
    assert len({(p.allocation, p.strategy.signature) for p in plans}) == len(plans)


def test_money_buys_most_on_one_slot_and_tokens_come_fastest_on_two():
    assert plan(ask_of()).best.world_size == 1
    assert plan(ask_of(remaining={Axis.TOKENS: Decimal(150_000)})).best.world_size == 2


def test_a_deadline_buys_more_accelerators():
    pool = (offer_of("a100", "A100-80GB-SXM"),)
    easy = ask_of("llama-110m", pools=pool, global_batch=64, remaining={Axis.COST: Decimal(50)})
    pressed = replace(easy, seconds_left=1800.0)
    assert plan(pressed).best.world_size > plan(easy).best.world_size
    assert plan(pressed).best.binding == "deadline"


def test_bfloat16_is_only_offered_where_the_device_has_it():
    def precisions(row: str) -> set[str]:
        found = plan(ask_of(pools=(offer_of("p", row),), remaining={Axis.COST: Decimal(5)})).plans
        return {p.strategy.precision for p in found}

    assert precisions("T4") == {"float32"}
    assert precisions("A100-80GB-SXM") == {"float32", "bfloat16"}
    assert precisions("cpu-slot") == {"float32"}


def test_a_model_too_large_is_refused_with_the_gap():
    request = ask_of(
        "llama-3.1-70b",
        pools=(offer_of("t4", "T4"),),
        sequence_length=2048,
        global_batch=64,
        remaining={Axis.COST: Decimal(9999)},
    )
    plans = plan(request)
    assert plans.best is None
    assert plans.why_not("memory")
    assert all(r.needs > r.has == pytest.approx(14.56, abs=0.01) and r.unit == "GiB" for r in plans.why_not("memory"))


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"min_accelerators": 4}, "accelerators"),
        ({"min_accelerators": 2, "max_accelerators": 2, "global_batch": 3}, "batch"),
        ({"min_accelerators": 3, "max_accelerators": 4, "global_batch": 3, "pools": (offer_of(accelerators=4),)}, "batch"),
        ({"fixed": StrategySpec(precision="bfloat16")}, "precision"),
        ({"fixed": StrategySpec(micro_batch_size=3)}, "strategy"),
        ({"remaining": {Axis.COST: Decimal("0.001")}}, "budget:cost"),
        ({"remaining": {Axis.ACCELERATOR_HOURS: Decimal("0.001")}}, "budget:acceleratorHours"),
        ({"remaining": {Axis.FLOPS: Decimal(10)}}, "budget:flops"),
        ({"remaining": {Axis.TOKENS: Decimal(10)}}, "budget:tokens"),
        ({"remaining": {}, "seconds_left": 5.0}, "budget:deadline"),
        ({"pools": (offer_of(memory_bytes=GIB // 2),)}, "memory"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(changes, constraint):
    plans = plan(ask_of(**changes))
    assert plans.best is None
    assert {r.constraint for r in plans.rejections} == {constraint}
    assert all(r.needs != r.has for r in plans.rejections)


def test_a_run_without_any_limit_is_refused():
    with pytest.raises(ValueError, match="at least one limited axis"):
        plan(ask_of(remaining={}))


def test_memory_request_covers_processes_and_shared_memory():
    best = plan(ask_of(min_accelerators=2)).best
    assert best.memory_request_bytes % MIB == 0
    assert best.memory_request_bytes >= 2 * best.memory.safe_bytes + best.shm_bytes
    assert best.memory_request_bytes - best.memory.safe_bytes * 2 - best.shm_bytes < MIB


@pytest.mark.parametrize(("sharding", "workers", "measured_mib"), [("None", 1, 842), ("None", 2, 824), ("FullShard", 2, 843)])
def test_memory_on_a_cpu_agrees_with_the_trainer(sharding, workers, measured_mib):
    """Peak resident set of llama-1m, four sequences of 256 a step, as the trainer's last word said."""
    fixed = StrategySpec(sharding=sharding)
    best = plan(ask_of(min_accelerators=workers, max_accelerators=workers, fixed=fixed)).best
    assert best.memory.expected_bytes == pytest.approx(measured_mib * MIB, rel=0.05)
    assert best.memory_request_bytes > workers * measured_mib * MIB


def test_fine_tuning_predicts_tokens_but_no_loss():
    plans = plan(ask_of(pretrained=True))
    assert plans.best.loss is None
    assert plans.best.tokens.value > 0
    assert plans.marginals == {}


def test_repeated_data_and_done_tokens_count_in_the_loss():
    fresh, resumed = plan(ask_of()).best, plan(ask_of(tokens_done=5_000_000)).best
    repeated = plan(ask_of(unique_tokens=50_000)).best
    assert resumed.loss.value < fresh.loss.value < repeated.loss.value
