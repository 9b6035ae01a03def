from pathlib import Path

import pytest
from tests.support.ettr import best_share, share_that_survives
from tests.support.trainer import TOKENS_PER_STEP, run_config

from farthing.contract.checkpoint import Landing
from farthing.contract.runconfig import RunConfig
from farthing_trainer.governor import Governor
from farthing_trainer.lease import Lease
from farthing_trainer.place import Started

AUTO = {"intervalSeconds": None, "meanTimeBetweenFailuresSeconds": 40.0}
STEP_FLOPS = 100.0
LANDING = Landing(version=1, first_step=50, last_step=60, lr_at_first=0.003)


def a_governor(config: RunConfig, *steps: float) -> Governor:
    governor = Governor(config, Lease.from_config(config.lease), Started.now(), STEP_FLOPS, state_bytes=0)
    for seconds in (0.0, *steps):
        governor.speed.add(seconds)
    return governor


def leases(**ends: dict[str, object]) -> dict[str, object]:
    return {"lease": {"trainerEnd": {"seconds": 1000.0}, "supervisorEnd": {"seconds": 1010.0}, "budgetEnd": {}, **ends}}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def test_far_from_every_end_nothing_is_wished(home: Path):
    wish = a_governor(run_config(home, **leases()), 1.0).judge(5, 500.0, None)
    assert (wish.stop, wish.checkpoint, wish.landing) == ("", False, None)


def test_a_lease_that_ends_before_its_budget_stops_without_landing(home: Path):
    config = run_config(home, **leases(trainerEnd={"seconds": 2.0}))
    wish = a_governor(config, 1.0).judge(5, 500.0, None)
    assert (wish.stop, wish.landing) == ("LeaseEnded", None)


def test_a_lease_ends_the_run_before_a_landing_that_is_known_but_has_not_begun(home: Path):
    config = run_config(home, **leases(trainerEnd={"seconds": 2.0}))
    assert a_governor(config, 1.0).judge(5, 500.0, LANDING).stop == "LeaseEnded"


def test_a_budget_of_seconds_lands_inside_them(home: Path):
    config = run_config(home, **leases(budgetEnd={"seconds": 20.0}))
    landing = a_governor(config, 1.0).judge(70, 0.0, None).landing
    assert landing is not None
    assert landing.first_step == 71
    assert 71 < landing.last_step <= 70 + 20


def test_a_budget_of_flops_lands_inside_them(home: Path):
    config = run_config(home, **leases(budgetEnd={"flops": 10_000.0}))
    governor = a_governor(config, 0.001)
    landing = governor.judge(85, 85 * STEP_FLOPS, None).landing
    assert landing is not None
    assert 85 * STEP_FLOPS + (landing.last_step - 85) * STEP_FLOPS + governor.evaluation_flops <= 10_000


def test_tokens_beside_another_axis_are_exact(home: Path):
    config = run_config(home, **leases(budgetEnd={"tokens": 100 * TOKENS_PER_STEP, "seconds": 900.0}))
    landing = a_governor(config, 0.001).judge(80, 0.0, None).landing
    assert landing is not None
    assert landing.last_step == 100


def test_in_a_landing_the_lease_compresses_instead_of_stopping(home: Path):
    config = run_config(home, **leases(trainerEnd={"seconds": 9.0}))
    wish = a_governor(config, 1.0).judge(52, 0.0, LANDING)
    assert wish.stop == ""
    assert wish.landing is not None
    assert wish.landing.last_step < LANDING.last_step


def test_checkpoint_and_stop_never_lands(home: Path):
    config = run_config(home, onExhausted="CheckpointAndStop", **leases(budgetEnd={"tokens": 10 * TOKENS_PER_STEP}))
    governor = a_governor(config, 0.001)
    assert governor.judge(9, 0.0, None).stop == ""
    assert governor.judge(10, 0.0, None).stop == "BudgetEnded"


def test_a_fixed_interval_makes_checkpoints_due(home: Path):
    assert a_governor(run_config(home, checkpoint={"intervalSeconds": 1e-9}), 1.0).judge(5, 0.0, None).checkpoint


def test_the_automatic_interval_is_young_s(home: Path):
    config = run_config(home, checkpoint={"intervalSeconds": None, "meanTimeBetweenFailuresSeconds": 7200.0})
    governor = a_governor(config)
    governor.checkpoint_took(60.0)
    assert governor.checkpoint_interval == pytest.approx(930, abs=1)


def test_a_resumed_run_goes_by_what_a_checkpoint_took_before(home: Path):
    """And not by the guess of half a second, with which each attempt's first interval would be several times too long."""
    governor = a_governor(run_config(home, checkpoint=AUTO))
    governor.resumed_from_one_that_took(0.05)
    assert governor.checkpoint_interval == pytest.approx((2 * 0.05 * 40) ** 0.5)
    assert governor.durations.checkpoint == 0.5, "time is set aside by the guess until this attempt has measured"
    governor.resumed_from_one_that_took(8.0)
    assert governor.durations.checkpoint == 8.0
    governor.checkpoint_took(0.2)
    assert (governor.checkpoint_interval, governor.durations.checkpoint) == (pytest.approx(4.0), 0.2)


@pytest.mark.parametrize("between_failures", [20.0, 600.0, 86400.0])
@pytest.mark.parametrize("write_share", [1e-6, 1e-4, 1e-3, 0.01])
def test_the_automatic_interval_loses_hardly_more_than_the_best(home: Path, between_failures: float, write_share: float):
    """Against the exact optimum of Daly's model, up to a write of a hundredth of the time between failures."""
    governor = a_governor(run_config(home, checkpoint={**AUTO, "meanTimeBetweenFailuresSeconds": between_failures}))
    governor.checkpoint_took(write := between_failures * write_share)
    survives = share_that_survives(governor.checkpoint_interval, write, between_failures)
    assert 0.998 * best_share(write, between_failures) <= survives <= best_share(write, between_failures)


def test_the_end_is_foreseen(home: Path):
    config = run_config(home, **leases(budgetEnd={"tokens": 30 * TOKENS_PER_STEP}))
    assert a_governor(config, 1.0).steps_to_go(10, 0.0, None) == 20
    assert a_governor(config, 1.0).steps_to_go(52, 0.0, LANDING) == 8
