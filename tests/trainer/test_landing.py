"""Promise 1, from inside: the schedule ends with the budget on every axis, and a lease that ends earlier loses nothing."""

import json

from tests.support.trainer import TOKENS_PER_STEP, Home, landed, manifests, next_attempt, ranks, train

from farthing.contract.runconfig import End

STEP_FLOPS_CEILING = 60e6
"""More than one step of the tiny model executes."""


def ends(seconds: float = 240.0, **budget: object) -> dict[str, object]:
    return {"trainerEnd": {"seconds": seconds}, "supervisorEnd": {"seconds": seconds + 10}, "budgetEnd": budget}


def test_a_token_budget_is_met_exactly(home: Home):
    run = landed(home.path, home.config(tokens=20 * TOKENS_PER_STEP + TOKENS_PER_STEP // 2))
    progress = run.last_word().progress
    assert progress is not None
    assert (progress.tokens, progress.step, progress.phase) == (20 * TOKENS_PER_STEP, 20, "Finished")
    assert progress.landing is not None
    assert (progress.landing.first_step, progress.landing.last_step) == (17, 20)
    assert [(m.step, m.trunk) for m in manifests(home.path)] == [(16, True), (20, False)]
    assert progress.validation_loss is not None
    assert progress.validation_loss < 5.5  # ln 300 = 5.7 at the start


def test_a_budget_of_seconds_is_landed_inside(home: Home):
    run = landed(home.path, home.config(lease={**ends(12.0), "budgetEnd": {"seconds": 12.0}}))
    progress = run.last_word().progress
    assert progress is not None
    spent = progress.seconds
    assert spent.startup + spent.train + spent.checkpoint + spent.evaluation < 12.0
    assert progress.landing is not None
    assert progress.step == progress.landing.last_step
    assert progress.learning_rate is not None
    assert progress.learning_rate < 0.003


def test_a_budget_of_flops_is_landed_inside(home: Home):
    run = landed(home.path, home.config(lease=ends(flops=2e9)))
    progress = run.last_word().progress
    assert progress is not None
    assert 2e9 - 2 * STEP_FLOPS_CEILING < progress.flops <= 2e9


def test_a_lease_that_ends_before_its_budget_leaves_with_a_checkpoint(home: Home):
    config = home.config(lease=ends(seconds=8.0, tokens=10**9))
    run = train(home.path, config)
    assert run.wait() == [143], run.log
    assert run.last_word().reason == "LeaseEnded"
    progress = run.last_word().progress
    assert progress is not None
    assert manifests(home.path)[-1].step == progress.step


def test_checkpoint_and_stop_ends_with_its_budget_without_landing(home: Home):
    run = train(home.path, home.config(onExhausted="CheckpointAndStop", tokens=12 * TOKENS_PER_STEP))
    assert run.wait() == [143], run.log
    assert run.last_word().reason == "BudgetEnded"
    assert [m.step for m in manifests(home.path)] == [12]


def test_a_lease_shortened_on_the_way_lands_earlier(home: Home):
    with ranks(home.path, home.config(processes=2)) as run:
        step = run.until_step(5).step
        body = {"id": "shorter", "budgetEnd": {"tokens": (step + 60) * TOKENS_PER_STEP}}
        status, ends_now = run.post("/lease", body)
        assert (status, End.model_validate(ends_now["budgetEnd"]).tokens) == (200, (step + 60) * TOKENS_PER_STEP)
        assert run.wait() == [0, 0], run.log
    progress = run.last_word().progress
    assert progress is not None
    assert progress.step <= step + 60


def test_a_new_lease_too_short_for_the_landing_compresses_it(home: Home):
    config = home.config(tokens=400 * TOKENS_PER_STEP, schedule={"landingFraction": 0.9})
    train(home.path, config, stop_at=60)
    config = next_attempt(
        config, lease={**ends(flops=60 * 25.5e6), "budgetEnd": {"tokens": 400 * TOKENS_PER_STEP, "flops": 2e9}}
    )
    run = landed(home.path, config)
    progress = run.last_word().progress
    assert progress is not None
    assert progress.landing is not None
    assert progress.landing.version >= 2
    assert progress.step == progress.landing.last_step < 400
    assert progress.landing.lr_at_first < 0.003


def test_a_finished_run_started_again_only_writes_its_output(home: Home):
    config = home.config(tokens=6 * TOKENS_PER_STEP)
    landed(home.path, config)
    (home.path / "output" / "config.json").unlink()
    again = landed(home.path, next_attempt(config))
    assert again.last_word().progress.tokens_processed == 0
    assert json.loads((home.path / "output" / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
