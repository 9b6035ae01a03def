"""A torn or flipped checkpoint is never loaded, a disk that is full stops nothing, and what is not needed goes away."""

import resource
import shutil
from pathlib import Path

import pytest
from tests.support.trainer import TOKENS_PER_STEP, Home, Request, eventually, landed, manifests, next_attempt, ranks, train

from farthing.contract.checkpoint import MANIFEST_NAME, checkpoint_folder


@pytest.fixture
def two_checkpoints(home: Home) -> Home:
    """Steps 6 and 10 of a run are durable."""
    config = home.config(processes=2)
    train(home.path, config, stop_at=5)
    train(home.path, next_attempt(config), stop_at=9)
    assert [m.step for m in manifests(home.path)] == [6, 10]
    return home


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


DAMAGES = {
    "a flipped bit": lambda folder: flip(folder / "__1_0.distcp"),
    "a cut file": lambda folder: (folder / "__0_0.distcp").write_bytes(b""),
    "a missing file": lambda folder: (folder / "__0_0.distcp").unlink(),
    "a changed pickle": lambda folder: flip(folder / ".metadata"),
    "no manifest": lambda folder: (folder / MANIFEST_NAME).unlink(),
    "half a manifest": lambda folder: (folder / MANIFEST_NAME).write_bytes((folder / MANIFEST_NAME).read_bytes()[:100]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_skipped_and_said_so(two_checkpoints: Home, damage: str):
    home = two_checkpoints
    DAMAGES[damage](home.path / "checkpoints" / checkpoint_folder(10))
    config = next_attempt(home.config(processes=2, tokens=12 * TOKENS_PER_STEP))
    run = landed(home.path, config)
    assert f"checkpoint {checkpoint_folder(10)} is skipped" in run.log
    progress = run.last_word().progress
    assert progress is not None
    assert progress.resumed_from == 6
    assert progress.lost_steps == 4


def test_another_job_s_checkpoints_are_not_taken(home: Home):
    config = home.config(tokens=4 * TOKENS_PER_STEP)
    landed(home.path, config)
    run = landed(home.path, next_attempt(config, job={"uid": "uid-2"}))
    assert "belongs to another job" in run.log
    assert run.last_word().progress.resumed_from is None


def test_a_write_that_fails_is_answered_and_training_goes_on(home: Home):
    checkpoints = home.path / "checkpoints"
    with ranks(home.path, home.config(processes=2)) as run:
        run.until_step(3)
        shutil.rmtree(checkpoints)
        checkpoints.write_text("a file where the folder should be")

        def failed():
            status, answer = run.post("/checkpoint", Request("full").body())
            return answer if status == 200 else None

        answer = eventually(failed, lambda: run.log)
        assert (answer["state"], answer["id"]) == ("Failed", "full")
        step = run.progress().step
        run.until_step(step + 3)
        checkpoints.unlink()
        assert run.post("/checkpoint", Request("again").body())[0] == 202
        run.until(lambda progress: progress.answer.id == "again" and progress.answer.state == "Acknowledged")


def test_a_full_disk_on_one_rank_fails_the_checkpoint_and_not_the_run(home: Home):
    """A limit on the size of files is what a process sees of a full disk: its writes fail half-way."""
    with ranks(home.path, home.config(processes=2)) as run:
        run.until_step(3)
        _, hard = resource.prlimit(run.pids()[1], resource.RLIMIT_FSIZE, (65536, -1))
        run.post("/checkpoint", Request("full").body())
        failed = run.until(lambda progress: progress.answer is not None and progress.answer.state == "Failed")
        assert failed.answer is not None
        assert "File too large" in (failed.answer.message or "")
        assert manifests(home.path) == []
        resource.prlimit(run.pids()[1], resource.RLIMIT_FSIZE, (hard, hard))
        run.post("/checkpoint", Request("again").body())
        run.until(lambda progress: progress.answer.id == "again" and progress.answer.state == "Acknowledged")
    assert not list((home.path / "checkpoints").glob("*.tmp.*"))


def test_only_the_newest_and_the_trunk_are_kept(home: Home):
    config = home.config(tokens=40 * TOKENS_PER_STEP, checkpoint={"intervalSeconds": 1e-6, "keep": 2})
    leftover = home.path / "checkpoints" / "step-00000002.tmp.tiny-abcde-0"
    leftover.mkdir(parents=True)
    landed(home.path, config)
    assert [(m.step, m.trunk) for m in manifests(home.path)] == [(32, True), (39, False), (40, False)]
    assert not leftover.exists()


def test_on_an_object_store_the_manifest_commits(home: Home):
    """A store that cannot rename: files go to their place, the manifest after them."""
    config = home.config(checkpoint={"uri": f"store://{home.path}/checkpoints"})
    train(home.path, config, stop_at=4)
    (made,) = manifests(home.path)
    assert sorted(file.name for file in made.files) == [".metadata", "__0_0.distcp"]
    resumed = landed(home.path, next_attempt(config, lease={"budgetEnd": {"tokens": 8 * TOKENS_PER_STEP}}))
    assert resumed.last_word().progress.resumed_from == 5
    assert "bit for bit" in resumed.log
