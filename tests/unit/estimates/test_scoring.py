"""Scores: groups weigh the same, folds are never seen by their own fit, a choice that ran out of memory costs everything."""

import numpy as np
import pytest
from tests.unit.estimates.test_rows import rows_of

from farthing.estimates import scoring


def speeds(*values, **common):
    """Rows of these tokens/s, named by position."""
    return rows_of(*({"tokens_per_s_per_gpu": value, **common} for value in values))


def sweep(*members):
    """One sweep of (tokens/s, further cells)."""
    return rows_of(
        *({"tokens_per_s_per_gpu": speed, "sweep_id": "s", "sweep_vary": "micro_batch", **cells} for speed, cells in members)
    )


def test_groups_are_scored_apart_and_averaged_with_equal_weight():
    groups = np.array(["a", "a", "a", "b", "b"])
    scores = scoring.by_group(groups, np.array([1.1, 0.9, 1.1, 1.5, np.nan]), np.ones(5))
    assert [(each.group, each.n) for each in scores] == [("a", 3), ("b", 1)]
    average = scoring.averaged(scores)
    assert average.median == pytest.approx((0.1 + 0.5) / 2)
    assert average.bias == pytest.approx((0.1 + 0.5) / 2)
    with pytest.raises(ValueError, match="no group"):
        scoring.averaged([])


def test_groups_that_share_a_framework_are_one_group_of_both_names():
    rows = rows_of({}, {"source_group": "three", "framework": "nanotron"}, {"source_group": "another"})
    assert list(scoring.merged_groups(rows)) == ["another+one", "three", "another+one"]


def test_a_fold_is_predicted_by_the_others():
    rows = rows_of({}, {"source_group": "two"}, {"source_group": "three", "framework": "nanotron"})
    seen = []

    def fit(others):
        seen.append(set(others.groups))
        return len(others)

    predicted = scoring.leave_one_out(rows, fit, lambda fold, constants: np.full(len(fold), float(constants)))
    assert seen in ([{"one", "two"}, {"three"}], [{"three"}, {"one", "two"}])
    assert list(predicted) == [1, 1, 2]


def test_inside_a_source_each_half_of_the_models_is_predicted_by_the_other():
    rows = rows_of(*({"n_params": size} for size in (8.0e9, 8.1e9, 8.2e9)))
    predicted = scoring.inside_sources(rows, len, lambda half, constants: np.full(len(half), float(constants)))
    assert list(scoring.model_halves(rows)) == [0, 1, 0]
    assert list(predicted) == [1, 2, 1]


def test_safe_is_scored_on_what_ran_and_on_what_did_not():
    rows = rows_of(
        {"status": "oom", "peak_mem_gib": ""}, {"status": "oom_presumed", "peak_mem_gib": ""},
        {"peak_reserved_gib": 50, "peak_allocated_gib": 45}, {"peak_reserved_gib": 60, "peak_allocated_gib": 58},
        {"gpu_memory_gib": ""},
    )  # fmt: skip
    score = scoring.safe_score(rows, np.array([70.0, 90, 55, 57, 900]) * 2**30)
    assert (score.oom_rows, score.oom_declared_to_fit) == (2, 0.5)
    assert (score.ok_rows, score.ok_declared_unfit) == (2, 0)
    assert score.below_allocated == 0.5
    assert score.above_reserved == pytest.approx((0.1 - 0.05) / 2)


def test_choosing_loses_what_the_best_had_more():
    rows = sweep((100, {}), (80, {}), (50, {}))
    assert [each.lost for each in scoring.sweep_choices(rows, np.array([1.0, 3, 2]))] == [pytest.approx(0.2)]
    assert scoring.random_choices(rows)[0].lost == pytest.approx((0 + 0.2 + 0.5) / 3)
    assert scoring.sweep_choices(rows, np.array([np.nan, 3, 9]), np.array([True, True, False]))[0].lost == pytest.approx(0.2)


def test_a_choice_out_of_memory_loses_everything():
    rows = sweep((100, {}), (80, {}), (50, {}), ("", {"status": "oom"}))
    assert scoring.sweep_choices(rows, np.array([1.0, 1, 1, 2]))[0].lost == 1


@pytest.mark.parametrize("cells", [{"sweep_vary": "framework_variant"}, {"status": "oom"}])
def test_small_sweeps_and_those_without_a_knob_do_not_count(cells):
    assert not scoring.sweep_choices(sweep((100, cells), (80, {}), (50, {})), np.ones(3))


def test_the_rule_of_thumb_takes_the_least_parallel_then_the_largest_batch():
    rows = sweep((100, {"tp": 2, "dp": 4}), (80, {"micro_batch": 1}), (90, {"micro_batch": 4}))
    assert scoring.least_parallel_choices(rows)[0].lost == pytest.approx(0.1)


def test_the_baseline_has_one_utilisation_an_accelerator():
    fitted = speeds(5000, 6000, 7000)
    predicted = scoring.constant_mfu(fitted, rows_of({}, {"gpu": "A100-80GB"}))
    assert predicted[0] == pytest.approx(6000)
    assert predicted[1] == pytest.approx(6000 * 312 / 989)


def test_one_revealed_row_corrects_its_like():
    rows = speeds(100, 110, 50)
    corrected = scoring.after_one_row(rows, np.array([50.0, 50, 25]))
    assert np.isnan(corrected[0])
    assert list(corrected[1:]) == [100, 50]


def test_frozen_weights_need_fewer_flops():
    whole, adapter = rows_of({}).configurations, rows_of({"peft": "lora", "trainable_params": 10**7}).configurations
    assert (
        scoring.model_flops(adapter)[0]
        < scoring.model_flops(whole)[0]
        == pytest.approx(6 * 7.5e9 + 12 * 32 * 4096 * 8192, rel=0.01)
    )
