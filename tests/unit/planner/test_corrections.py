"""What was measured corrects what the formulas say: the same plan at once, others as far as they are akin, all in bounds."""

from dataclasses import replace
from math import inf, log, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.planner.builders import ask_of, offer_of

from farthing.api.job import StrategySpec
from farthing.domain.plan import PlanSet, Prediction
from farthing.domain.planning import Measurement, PlanRequest
from farthing.planner import plan
from farthing.planner.corrections import UNEXPLAINED, Corrections, formulas_alone, strategy_name
from farthing.planner.drafts import drafts
from farthing.planner.evidence import REFUSED
from farthing.planner.learning import OUTLIER
from farthing.units import GIB

FEW = settings(max_examples=25, deadline=None)
CPU = ask_of(min_accelerators=2, global_batch=8)
GPU = ask_of("llama-1m", pools=(offer_of("cards", "A100-80GB-SXM"),), min_accelerators=2)
TWO_POOLS = ask_of("llama-1m", pools=(offer_of("a100", "A100-80GB-SXM"), offer_of("h100", "H100-80GB-SXM")), min_accelerators=2)
QUESTIONS = pytest.mark.parametrize("request_of", [CPU, GPU], ids=["CPU", "GPU"])
RUBBISH = st.sampled_from([0.0, -5.0, nan, inf, -inf])


def speeds(found: PlanSet) -> dict[tuple[str, int, str], Prediction]:
    return {(p.allocation.pool, p.world_size, p.strategy.signature): p.tokens_per_second for p in found.plans}


def needs(found: PlanSet) -> dict[tuple[str, int, str], float]:
    return {(p.allocation.pool, p.world_size, p.strategy.signature): p.memory.expected_bytes for p in found.plans}


def measured(request: PlanRequest, at: int = 0, **values: object) -> Measurement:
    """A measurement of the plan at that rank, of this model."""
    of = plan(request).plans[at]
    facts = {
        "pool": of.allocation.pool,
        "accelerator": of.allocation.accelerator,
        "strategy": of.strategy.signature,
        "accelerators": of.world_size,
        "family": "llama",
        "flops_per_token": of.flops_per_token,
        "origin": "default/tiny attempt 1",
    }
    return Measurement(**{**facts, **values})


def one_micro_batch(request: PlanRequest) -> PlanRequest:
    """The same question with the best plan's micro-batch: of each family and gang there is only that plan."""
    return replace(request, fixed=StrategySpec(micro_batch_size=plan(request).best.strategy.micro_batch))


def after(request: PlanRequest, *known: Measurement) -> PlanSet:
    return plan(replace(request, measurements=known))


@QUESTIONS
@pytest.mark.parametrize("ratio", [0.4, 0.8, 1.5])
def test_the_very_plan_takes_its_measured_speed_and_says_so(request_of, ratio):
    request_of = one_micro_batch(request_of)
    formula = plan(request_of).best.tokens_per_second
    known = measured(request_of, tokens_per_second=ratio * formula.value)
    key = (known.pool, known.accelerators, known.strategy)
    found = speeds(after(request_of, known))[key]
    assert found.value == pytest.approx(known.tokens_per_second)
    assert found.sigma == pytest.approx(0.07, abs=2e-3)
    told = (
        f"throughput × {ratio:.2f} ± 7% (1 measured with this plan; ± {formula.sigma:.0%} before) from default/tiny attempt 1"
    )
    assert found.source == f"{formula.source}; {told}"


@QUESTIONS
@pytest.mark.parametrize("ratio", [0.65, 0.9, 0.99])
def test_a_plan_that_fell_short_does_not_lose_to_a_neighbour_that_nobody_ran(request_of, ratio):
    best = plan(request_of).best
    found = after(request_of, measured(request_of, tokens_per_second=ratio * best.tokens_per_second.value)).plans
    of_gang = [p for p in found if p.world_size == best.world_size]
    assert of_gang[0].strategy == best.strategy
    assert all(p.tokens_per_second.value <= of_gang[0].tokens_per_second.value for p in of_gang)


@QUESTIONS
def test_a_plan_that_fell_short_loses_to_one_that_was_measured_faster(request_of):
    first, second = plan(request_of).plans[:2]
    known = [
        measured(request_of, 0, tokens_per_second=0.5 * first.tokens_per_second.value),
        measured(request_of, 1, tokens_per_second=0.9 * second.tokens_per_second.value, origin="default/tiny attempt 2"),
    ]
    assert after(request_of, *known).best.strategy == second.strategy


@QUESTIONS
def test_other_plans_follow_as_far_as_they_are_akin(request_of):
    before = speeds(plan(request_of))
    known = measured(request_of, tokens_per_second=1.3 * plan(request_of).best.tokens_per_second.value)
    now = speeds(after(request_of, known))
    own = (known.pool, known.accelerators, known.strategy)
    others = [key for key in before if key != own and key in now]
    assert others
    for key in others:
        assert 1.0 < now[key].value / before[key].value < 1.3
        assert now[key].sigma < before[key].sigma
        assert "default/tiny attempt 1" in now[key].source


def test_another_gang_of_the_same_strategy_follows_further_than_another_strategy():
    request = ask_of(pools=(offer_of("cards", "A100-80GB-SXM"),), min_accelerators=2, global_batch=8)
    before, best = speeds(plan(request)), plan(request).best
    now = speeds(after(request, measured(request, tokens_per_second=1.3 * best.tokens_per_second.value)))
    name = strategy_name(best.strategy.signature)
    gains = {key: now[key].value / before[key].value for key in before if key in now}
    same = [gain for (_, gang, words), gain in gains.items() if strategy_name(words) == name and gang != best.world_size]
    unlike = [gain for (_, _, words), gain in gains.items() if strategy_name(words) != name]
    assert same
    assert unlike
    assert min(same) > max(unlike)


def test_the_other_accelerator_follows_less_than_the_same_one():
    before = speeds(plan(TWO_POOLS))
    known = measured(TWO_POOLS, tokens_per_second=0.7 * plan(TWO_POOLS).best.tokens_per_second.value)
    now = speeds(after(TWO_POOLS, known))
    gains: dict[bool, list[float]] = {True: [], False: []}
    for key, speed in now.items():
        if key in before and strategy_name(key[2]) != strategy_name(known.strategy):
            gains[key[0] == known.pool].append(speed.value / before[key].value)
    assert gains[True]
    assert max(gains[True]) < min(gains[False]) < 1.0


def test_a_cpu_teaches_a_gpu_nothing():
    known = measured(CPU, tokens_per_second=0.5 * plan(CPU).best.tokens_per_second.value, peak_memory_bytes=1.2 * GIB)
    known = replace(known, predicted_tokens_per_second=5000.0, predicted_memory_bytes=1.0 * GIB)
    assert after(GPU, known) == plan(GPU)


def test_an_accelerator_that_left_the_catalogue_teaches_nothing():
    known = measured(GPU, tokens_per_second=5e4, predicted_tokens_per_second=6e4, accelerator="K80", pool="old")
    assert after(GPU, known) == plan(GPU)


def test_another_pool_of_the_accelerator_teaches_only_where_its_prediction_is_known():
    speed = 0.7 * plan(CPU).best.tokens_per_second.value
    elsewhere = replace(measured(CPU, tokens_per_second=speed), pool="other")
    assert after(CPU, elsewhere) == plan(CPU)
    told = after(CPU, replace(elsewhere, predicted_tokens_per_second=speed / 0.7))
    assert told.best.tokens_per_second.value < 0.9 * plan(CPU).best.tokens_per_second.value
    assert "with this plan" not in told.best.tokens_per_second.source
    assert "default/tiny attempt 1" in told.best.tokens_per_second.source


def test_the_same_plan_of_another_model_is_only_akin():
    speed = 0.7 * plan(CPU).best.tokens_per_second.value
    other = measured(CPU, tokens_per_second=speed / 3, predicted_tokens_per_second=speed / 2.1, flops_per_token=5e7)
    best = after(CPU, other).best
    assert "with this plan" not in best.tokens_per_second.source
    assert 0.7 < best.tokens_per_second.value / plan(CPU).best.tokens_per_second.value < 1.0


def test_the_draft_of_another_model_is_no_prediction():
    """Its plan has the same name here, and nobody says what the formulas said of it."""
    assert after(CPU, measured(CPU, tokens_per_second=4000.0, peak_memory_bytes=1.0 * GIB, flops_per_token=5e7)) == plan(CPU)


def test_a_prediction_that_comes_with_the_measurement_counts_before_the_drafts():
    """A pool that was measured anew: what was said then is compared with what was measured then."""
    formula = plan(CPU).best.tokens_per_second.value
    known = measured(CPU, tokens_per_second=0.4 * formula, predicted_tokens_per_second=0.5 * formula)
    assert speeds(after(CPU, known))[(known.pool, 2, known.strategy)].value == pytest.approx(0.8 * formula)


@QUESTIONS
@pytest.mark.parametrize("ratio", [0.9, 1.25])
def test_memory_of_the_very_plan_both_ways_of_others_only_upwards(request_of, ratio):
    before, best = needs(plan(request_of)), plan(request_of).best
    known = measured(request_of, peak_memory_bytes=ratio * best.memory.expected_bytes)
    own = (known.pool, known.accelerators, known.strategy)
    now = needs(after(request_of, known))
    assert now[own] == pytest.approx(known.peak_memory_bytes)
    others = [now[key] / before[key] for key in before if key != own and key in now]
    assert others
    assert all(1.0 < each < ratio for each in others) if ratio > 1 else set(others) == {1.0}


def test_measured_memory_is_a_term_of_its_own_in_every_phase():
    best = plan(CPU).best
    found = after(CPU, measured(CPU, peak_memory_bytes=best.memory.expected_bytes + 1e6)).best
    assert [parts[UNEXPLAINED] for parts in found.memory.terms.values()] == pytest.approx([1e6] * len(best.memory.terms))


def test_of_several_peaks_of_the_plan_the_higher_middle_one_is_asked_for():
    peaks = [1.0 * GIB, 1.1 * GIB, 1.05 * GIB, 1.02 * GIB]
    known = [measured(CPU, peak_memory_bytes=peak, origin=f"default/tiny attempt {i}") for i, peak in enumerate(peaks)]
    assert after(CPU, *known).best.memory.expected_bytes == pytest.approx(1.05 * GIB)


def test_starts_and_saves_are_the_median_of_the_pool():
    known = [
        measured(CPU, startup_seconds=start, checkpoint_seconds=save)
        for start, save in ((12.0, 0.5), (14.0, 0.7), (nan, inf), (-3.0, 0.0), (500.0, 300.0))
    ]
    best = after(CPU, *known).best
    assert (best.startup_seconds.value, best.checkpoint_seconds.value) == (14.0, 0.7)
    assert best.startup_seconds.source == "measured on this pool"


def test_nothing_measured_changes_nothing():
    assert after(CPU, measured(CPU)) == plan(CPU)


@FEW
@given(st.sampled_from([CPU, GPU]), st.integers(0, 3), RUBBISH, RUBBISH, RUBBISH, RUBBISH)
def test_rubbish_changes_no_number_of_any_plan(request_of, at, speed, memory, start, save):
    rubbish = measured(
        request_of, at, tokens_per_second=speed, peak_memory_bytes=memory, startup_seconds=start, checkpoint_seconds=save
    )
    assert _silent(after(request_of, rubbish)) == _silent(plan(request_of))


@FEW
@given(st.sampled_from([CPU, GPU]), st.integers(0, 3), st.sampled_from([1000.0, 1e-3, 10.1, 0.09]))
def test_a_thousandfold_changes_no_number_and_is_named(request_of, at, factor):
    of = plan(request_of).plans[at]
    speed, memory = factor * of.tokens_per_second.value, factor * of.memory.expected_bytes
    found = after(request_of, measured(request_of, at, tokens_per_second=speed, peak_memory_bytes=memory))
    assert _silent(found) == _silent(plan(request_of))
    own = speeds(found)[(of.allocation.pool, of.world_size, of.strategy.signature)]
    assert "not learnt from default/tiny attempt 1: measured" in own.source


@FEW
@given(st.sampled_from([CPU, GPU]), st.integers(0, 3), st.floats(1.0 / REFUSED, REFUSED), st.floats(1.0 / REFUSED, REFUSED))
def test_one_wrong_run_moves_other_plans_by_no_more_than_its_bound(request_of, at, speed, memory):
    before = plan(request_of)
    of = before.plans[at]
    known = measured(
        request_of,
        at,
        tokens_per_second=speed * of.tokens_per_second.value,
        peak_memory_bytes=memory * of.memory.expected_bytes,
    )
    now = after(request_of, known)
    own = (known.pool, known.accelerators, known.strategy)
    for key, was in speeds(before).items():
        found = speeds(now).get(key)
        bound = log(REFUSED) if key == own else OUTLIER * was.sigma
        assert found is None or abs(log(found.value / was.value)) <= bound * (1 + 1e-9)
    for key, size in needs(before).items():
        found = needs(now).get(key)
        bound = log(REFUSED) if key == own else OUTLIER * 0.10
        assert found is None or abs(log(found / size)) <= bound * (1 + 1e-9)


@FEW
@given(st.floats(1.0 / REFUSED, REFUSED))
def test_one_wrong_run_of_the_plan_among_three_moves_it_within_the_right_ones(wrong):
    formula = plan(CPU).best.tokens_per_second.value
    runs = [0.80, 0.84, wrong]
    known = [
        measured(CPU, tokens_per_second=ratio * formula, origin=f"default/tiny attempt {i}") for i, ratio in enumerate(runs)
    ]
    found = speeds(after(one_micro_batch(CPU), *known))[(known[0].pool, 2, known[0].strategy)]
    assert 0.8 * formula * (1 - 1e-9) <= found.value <= 0.84 * formula * (1 + 1e-9)


@QUESTIONS
def test_what_the_formulas_alone_say_is_the_draft_of_that_plan(request_of):
    known = measured(request_of, tokens_per_second=0.5 * plan(request_of).best.tokens_per_second.value)
    asked = replace(request_of, measurements=(known,))
    for draft in drafts(request_of):
        assert formulas_alone(asked, draft.allocation, draft.strategy) == draft


def test_a_plan_that_is_no_candidate_has_no_draft():
    best = plan(CPU).best
    assert formulas_alone(CPU, replace(best.allocation, pods=3), best.strategy) is None


def test_the_strategy_of_a_correction_has_no_micro_batch():
    assert strategy_name("float32/None/Root/ac=None/mb=4x1/None") == "float32/None/Root/ac=None/None"


def test_a_correction_needs_no_measurement():
    (draft, *_) = drafts(CPU)
    known = Corrections((), [draft])
    assert known.speed(draft).tokens_per_second == draft.tokens_per_second
    assert known.speed(draft).sigma == draft.sigma
    assert known.memory(draft) == draft.memory
    assert known.startup_seconds(draft) is None
    assert known.checkpoint_seconds(draft) is None


def _silent(found: PlanSet) -> list[tuple[object, ...]]:
    """Every number of a plan set, without the words beside the speeds."""
    return [
        (p.allocation, p.strategy, p.memory, p.tokens_per_second.value, p.tokens_per_second.sigma, p.startup_seconds.value,
         p.checkpoint_seconds.value, p.tokens.value, p.seconds.value)
        for p in found.plans
    ]  # fmt: skip
