"""Promise 3: preempted, resumed or rescaled, a run sees the same samples; bit for bit while its signature is unchanged."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.support.trainer import (
    GLOBAL_BATCH,
    TOKENS_PER_STEP,
    Home,
    checkpoint_tensors,
    landed,
    manifests,
    next_attempt,
    ranks,
    train,
)

from farthing.contract.checkpoint import checkpoint_folder
from farthing_trainer.heartbeat import Heartbeat

STEPS = 15  # warm-up 1–3, landing 13–15
LAST = checkpoint_folder(STEPS)


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.fixture(scope="module")
def straight(
    request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, dict[str, Any]]:
    """World size, and the tensors after a run that nothing interrupted."""
    world: int = getattr(request, "param", 2)
    home = Home(tmp_path_factory.mktemp("straight"), data)
    landed(home.path, home.config(processes=world, tokens=STEPS * TOKENS_PER_STEP))
    return world, checkpoint_tensors(home.path / "checkpoints" / LAST)


@pytest.mark.parametrize("straight", [1, 2], indirect=True)
@pytest.mark.parametrize("interrupts", [(2,), (12,), (3, 8, 14)], ids=str)
def test_an_interrupted_run_ends_with_the_same_bits(
    home: Home, straight: tuple[int, dict[str, Any]], interrupts: tuple[int, ...]
):
    """In the warm-up, on the trunk, and three times, the last of them in the landing."""
    world, want = straight
    config = home.config(processes=world, tokens=STEPS * TOKENS_PER_STEP)
    for step in interrupts:
        stopped = train(home.path, config, stop_at=step)
        assert set(stopped.wait()) == {143}, stopped.log
        assert manifests(home.path)[-1].step == step + 1  # the step that was being made is finished
        config = next_attempt(config)
    resumed = landed(home.path, config)
    assert "bit for bit" in resumed.log
    assert_equal(checkpoint_tensors(home.path / "checkpoints" / LAST), want)
    progress = resumed.last_word().progress
    assert progress is not None
    assert (progress.lost_steps, progress.resumed_from, progress.first_step) == (0, interrupts[-1] + 1, interrupts[-1] + 2)


def test_any_world_size_takes_the_same_samples_and_learns_the_same(home: Home, straight: tuple[int, dict[str, Any]]):
    """2 → 1 → 2 workers: the samples are the same, so the weights are, up to the order of additions."""
    _, want = straight
    config = home.config(processes=2, tokens=STEPS * TOKENS_PER_STEP)
    train(home.path, config, stop_at=4)
    alone = {"processesPerPod": 1, "batch": {"microBatch": GLOBAL_BATCH, "accumulation": 1}}
    config = next_attempt(config, **alone)
    rescaled = train(home.path, config, stop_at=9)
    assert "same samples, other bits (" in rescaled.log
    assert "world: 2 → 1" in rescaled.log
    landed(home.path, next_attempt(config, processesPerPod=2, batch={"microBatch": 1, "accumulation": 2}))
    made = manifests(home.path)
    assert [m.next_sample for m in made] == [m.step * GLOBAL_BATCH for m in made]
    got = checkpoint_tensors(home.path / "checkpoints" / LAST)
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, rtol=1e-2, atol=1e-4, msg=name)


@pytest.mark.parametrize(
    "strategy",
    [{"sharding": "None"}, {"grouping": "PerLayer"}, {"activationCheckpointing": "Full"}],
    ids=lambda strategy: next(iter(strategy.values())),
)
def test_every_strategy_learns_the_same_and_loads_what_another_wrote(
    home: Home, straight: tuple[int, dict[str, Any]], strategy: dict[str, str]
):
    _, want = straight
    config = home.config(processes=2, tokens=STEPS * TOKENS_PER_STEP, strategy=strategy)
    train(home.path, config, stop_at=4)
    landed(home.path, next_attempt(config, strategy={"sharding": "FullShard", "grouping": "Root"}))
    got = checkpoint_tensors(home.path / "checkpoints" / LAST)
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, rtol=1e-2, atol=1e-4, msg=name)


def test_a_killed_run_knows_how_many_steps_it_lost(home: Home):
    config = home.config(checkpoint={"intervalSeconds": 1.0})
    with ranks(home.path, config) as run:
        run.until(lambda progress: progress.checkpoint is not None and progress.step > progress.checkpoint.step + 2)
    durable = manifests(home.path)[-1].step
    beat = home.path / "checkpoints" / "heartbeat.json"
    reached = Heartbeat.model_validate_json(beat.read_bytes()).step + 5
    beat.write_text(Heartbeat(job_uid="uid-1", attempt="tiny-abcde-1", step=reached).to_json())
    after = landed(home.path, next_attempt(config, lease={"budgetEnd": {"tokens": (reached + 10) * TOKENS_PER_STEP}}))
    progress = after.last_word().progress
    assert progress is not None
    assert progress.resumed_from == durable
    assert progress.lost_steps == reached - durable
    assert progress.seconds.replay > 0
    assert progress.tokens_processed == (progress.step - durable) * TOKENS_PER_STEP


def test_a_raised_token_budget_resumes_from_the_trunk(home: Home):
    config = home.config(tokens=10 * TOKENS_PER_STEP)
    landed(home.path, config)
    (trunk,) = (m for m in manifests(home.path) if m.trunk)
    assert trunk.step == 8
    raised = landed(home.path, next_attempt(config, lease={"budgetEnd": {"tokens": STEPS * TOKENS_PER_STEP}}))
    progress = raised.last_word().progress
    assert progress is not None
    assert (progress.resumed_from, progress.step) == (8, STEPS)


def test_other_data_under_the_same_checkpoints_is_refused(home: Home, tmp_path_factory: pytest.TempPathFactory):
    config = home.config(tokens=5 * TOKENS_PER_STEP)
    landed(home.path, config)
    refused = train(home.path, next_attempt(config, data={"seed": 1}))
    assert refused.wait() == [64]
    assert "data.seed: 1 cannot be used" in refused.last_word().message
