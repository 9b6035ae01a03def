from pathlib import Path

import pytest

from farthing_trainer.errors import BadInput
from farthing_trainer.heartbeat import HeartbeatFile
from farthing_trainer.storage import Folder


@pytest.fixture(params=["file", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    root = tmp_path if request.param == "file" else f"/{tmp_path.name}"
    return Folder(f"{request.param}://{root}/deep/folder")


def test_what_was_written_is_read_and_listed(folder: Folder):
    folder.write("b", b"two")
    folder.write("a", b"one")
    folder.write("a", b"three")
    assert folder.names() == ["a", "b"]
    assert (folder.read("a"), folder.size("a"), folder.exists("c")) == (b"three", 5, False)


def test_a_missing_folder_is_empty(folder: Folder):
    assert folder.names() == []
    with pytest.raises(FileNotFoundError):
        folder.read("a")
    folder.remove("a")


def test_whole_folders_are_removed(folder: Folder):
    (folder / "inner").write("a", b"one")
    folder.remove("inner")
    assert folder.names() == []


def test_files_come_and_go(folder: Folder, tmp_path: Path):
    folder.make()
    source = tmp_path / "source"
    source.write_bytes(b"data")
    folder.put(source, "copy")
    assert folder.fetch("copy", tmp_path / "scratch").read_bytes() == b"data"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = Folder(f"file://{tmp_path}")
    folder.write("a", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        folder.write("a", b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"old")]


def test_a_scheme_that_nothing_reads_names_the_field():
    with pytest.raises(BadInput, match=r"checkpoint.uri: 'nosuch://x'"):
        Folder("nosuch://x", "checkpoint.uri")


def test_the_heartbeat_says_how_far_an_earlier_attempt_of_the_same_job_got(folder: Folder):
    first = HeartbeatFile(folder, "uid-1", "a-1")
    assert first.earlier_step() == 0
    first.beat(7)
    first.beat(8)  # too soon after the last one
    assert HeartbeatFile(folder, "uid-1", "a-2").earlier_step() == 7
    first.beat(9, now=True)
    assert HeartbeatFile(folder, "uid-1", "a-2").earlier_step() == 9
    assert HeartbeatFile(folder, "uid-2", "b-1").earlier_step() == 0


def test_a_heartbeat_that_makes_no_sense_is_no_heartbeat(folder: Folder):
    folder.write("heartbeat.json", b"{")
    assert HeartbeatFile(folder, "uid-1", "a-1").earlier_step() == 0
