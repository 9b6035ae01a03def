"""`keep` counts checkpoints that can be resumed from, and the trunk stands whatever happens to the others."""

import errno
from pathlib import Path

import pytest
from tests.support.savers import alone, checkpoints, header, names_in, save_as, tensors

from farthing.contract.checkpoint import MANIFEST_NAME, checkpoint_folder
from farthing_trainer.checkpoint import Checkpoints
from farthing_trainer.storage import Folder

TRUNK = 5


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """A trunk and three newer checkpoints of which two are kept."""
    store = checkpoints(f"file://{tmp_path}", alone())
    save_as(store, TRUNK, trunk=True)
    save_as(store, 10, 15, 20)
    assert steps_in(tmp_path) == [TRUNK, 15, 20]
    return f"file://{tmp_path}"


def steps_in(folder: Path) -> list[int]:
    return [int(name.removeprefix("step-")) for name in names_in(folder)]


def resumed(uri: str) -> tuple[Checkpoints, int]:
    """What the next attempt finds."""
    store = checkpoints(uri, alone(), attempt=2)
    found = store.newest()
    assert found is not None
    return store, found.manifest.step


def test_a_damaged_checkpoint_takes_no_place(uri: str, tmp_path: Path):
    shard = tmp_path / checkpoint_folder(20) / "__0_0.distcp"
    shard.write_bytes(shard.read_bytes()[:-1])
    store, step = resumed(uri)
    assert step == 15
    save_as(store, 18)
    assert steps_in(tmp_path) == [TRUNK, 15, 18]


def test_a_checkpoint_without_a_manifest_takes_no_place(uri: str, tmp_path: Path):
    (tmp_path / checkpoint_folder(20) / MANIFEST_NAME).unlink()
    store, step = resumed(uri)
    assert step == 15
    save_as(store, 18)
    assert steps_in(tmp_path) == [TRUNK, 15, 18]


def test_what_came_after_the_trunk_is_given_up_once_a_new_one_stands(uri: str, tmp_path: Path):
    store = checkpoints(uri, alone(), attempt=2, keep=1)
    found = store.newest(trunk=True)
    assert found is not None
    assert found.manifest.step == TRUNK
    assert steps_in(tmp_path) == [TRUNK, 15, 20]
    save_as(store, 8)
    assert steps_in(tmp_path) == [TRUNK, 8]


def test_a_job_without_a_trunk_gives_nothing_up_for_it(tmp_path: Path):
    store = checkpoints(f"file://{tmp_path}", alone())
    save_as(store, 10, 15)
    assert store.newest(trunk=True) is None
    save_as(store, 20)
    assert steps_in(tmp_path) == [15, 20]


def test_another_job_s_checkpoints_take_no_place_and_are_left_alone(uri: str, tmp_path: Path):
    other = Checkpoints(uri, "uid-2", "other-abcde-1", 1, alone())
    assert other.newest() is None
    for step in (2, 4):
        assert other.save(tensors(step), header(step, job="uid-2")).report is not None
    assert steps_in(tmp_path) == [4, TRUNK, 15, 20]
    found = other.newest()
    assert found is not None
    assert found.manifest.step == 4


def test_storage_that_fails_for_a_while_gives_nothing_up(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fetch = Folder.fetch

    def failing(folder: Folder, name: str, into: Path) -> Path:
        if folder.uri.endswith(checkpoint_folder(20)):
            raise OSError(errno.EIO, "Input/output error")
        return fetch(folder, name, into)

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "fetch", failing)
        store, step = resumed(uri)
    assert step == 15
    save_as(store, 18)
    assert steps_in(tmp_path) == [TRUNK, 18, 20]


def test_old_checkpoints_that_cannot_be_dropped_do_not_undo_the_new_one(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    remove = Folder.remove

    def failing(folder: Folder, name: str) -> None:
        if name == checkpoint_folder(15):
            raise OSError(errno.EBUSY, "Device or resource busy")
        remove(folder, name)

    monkeypatch.setattr(Folder, "remove", failing)
    store, _ = resumed(uri)
    save_as(store, 25)
    assert steps_in(tmp_path) == [TRUNK, 15, 20, 25]
    assert "old checkpoints could not be dropped" in caplog.text


def test_a_file_that_cannot_be_read_back_fails_the_save_and_not_the_run(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from farthing_trainer import writing

    def failing(path: Path) -> None:
        raise OSError(errno.EIO, f"{path.name}: Input/output error")

    monkeypatch.setattr(writing, "digest_of", failing)
    saved = checkpoints(uri, alone()).save(tensors(25), header(25))
    assert saved.report is None
    assert "Input/output error" in saved.error
    assert steps_in(tmp_path) == [TRUNK, 15, 20]
