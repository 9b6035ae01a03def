"""Storage that is full or read-only stops no training and touches no older checkpoint; a stop waits until it can be kept."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.pods import pod
from tests.support.resources import Disk, small_disk
from tests.support.trainer import Home, Request, Run, eventually, landed, next_attempt, ranks

DISK_MIB = 4


@pytest.fixture
def disk(home: Home) -> Iterator[Disk]:
    """Where the checkpoints lie: room for several."""
    with small_disk(home.path / "checkpoints", DISK_MIB) as made:
        yield made


def answer_of(run: Run, request: Request) -> dict[str, Any]:
    run.post("/checkpoint", request.body())
    progress = run.until(lambda p: p.answer is not None and p.answer.id == request.id and p.answer.state != "Accepted")
    assert progress.answer is not None
    return progress.answer.model_dump()


def goes_on(run: Run) -> None:
    step = run.until(lambda _: True).step
    run.until_step(step + 3)


def test_a_full_disk_is_answered_failed_and_older_checkpoints_stay(home: Home, disk: Disk):
    config = home.config(processes=2)
    with ranks(home.path, config) as run:
        run.until_step(3)
        older = answer_of(run, Request("older"))
        filler = disk.fill()
        failed = answer_of(run, Request("full"))
        assert (failed["state"], failed["digest"]) == ("Failed", None)
        assert "No space left on device" in failed["message"]
        goes_on(run)
        assert [m.step for m in run.manifests()] == [older["step"]]
        assert not list(disk.path.glob("*.tmp.*"))
    with ranks(home.path, next_attempt(config)) as again:
        resumed = again.until_step(older["step"] + 1)
        assert resumed.resumed_from == older["step"]
        filler.unlink()
        assert answer_of(again, Request("room"))["state"] == "Acknowledged"


def test_storage_gone_read_only_is_answered_failed_and_training_goes_on(home: Home, disk: Disk):
    config = home.config(processes=2)
    with ranks(home.path, config) as run:
        run.until_step(3)
        older = answer_of(run, Request("older"))
        disk.remount("ro")
        failed = answer_of(run, Request("read only"))
        assert failed["state"] == "Failed"
        assert "Read-only file system" in failed["message"]
        goes_on(run)
        disk.remount("rw")
        newer = answer_of(run, Request("back"))
        assert newer["state"] == "Acknowledged"
        assert [m.step for m in run.manifests()] == [older["step"], newer["step"]]


def test_a_stop_that_cannot_be_kept_is_tried_again_until_it_is(home: Home, disk: Disk):
    """SIGTERM while the storage is read-only: nobody says 143 before a checkpoint stands."""
    config = home.config(processes=2)
    with pod(home.path, config) as run:
        run.until_step(3)
        disk.remount("ro")
        run.signal(signal.SIGTERM)
        eventually(lambda: True if "failed, training goes on" in run.log else None, lambda: run.log)
        goes_on(run)
        disk.remount("rw")
        assert run.wait() == [143], run.log
    progress = run.last_word().progress
    assert progress.step == progress.checkpoint.step == run.manifests()[-1].step
    after = landed(home.path, next_attempt(config, lease={"budgetEnd": {"tokens": progress.tokens * 2}})).last_word().progress
    assert (after.resumed_from, after.lost_steps) == (progress.step, 0)
