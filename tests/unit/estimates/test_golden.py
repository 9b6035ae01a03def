"""Ten published runs: every predicted term is what it was when it was frozen, and near to what was measured."""

import pytest
from tests.golden.estimates.freeze import predictions, published_runs

from farthing.units import GIB

RUNS = published_runs()
SAID = predictions([each["run"] for each in RUNS])
METRIC = {"allocated": "allocated", "active": "allocated", "unknown": "allocated", "reserved": "reserved", "nvidia_smi": "used"}

each_run = pytest.mark.parametrize(
    ("known", "said"), list(zip(RUNS, SAID, strict=True)), ids=[e["run"]["row_id"] for e in RUNS]
)


def test_there_are_ten_runs_of_eight_frameworks_with_their_sources():
    assert len(RUNS) == 10
    assert len({each["run"]["framework"] for each in RUNS}) >= 7
    assert all(each["run"]["source"] for each in RUNS)


@each_run
def test_no_term_changes_unnoticed(known, said):
    frozen = known["predicted"]
    for phase, terms in frozen["memoryBytes"].items():
        assert said["memoryBytes"][phase] == pytest.approx(terms, rel=2e-6), phase
    assert said["memoryTotals"] == pytest.approx(frozen["memoryTotals"], rel=2e-6)
    assert said["stepSeconds"] == pytest.approx(frozen["stepSeconds"], rel=2e-6)
    assert said["tokensPerSecondPerDevice"] == pytest.approx(frozen["tokensPerSecondPerDevice"], rel=2e-6)
    assert set(said["memoryBytes"]) == set(frozen["memoryBytes"])


@each_run
def test_the_predictions_are_near_to_what_was_measured(known, said):
    run = known["run"]
    if peak := run.get("peak_mem_gib"):
        assert said["memoryTotals"][METRIC[run["memory_metric"]]] / GIB == pytest.approx(float(peak), rel=0.25)
    if speed := run.get("tokens_per_s_per_gpu"):
        assert said["tokensPerSecondPerDevice"] == pytest.approx(float(speed), rel=0.35)
    assert peak or speed
