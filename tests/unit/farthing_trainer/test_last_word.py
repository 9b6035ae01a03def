import json
from pathlib import Path

import pytest

from farthing.contract.names import ENV_TERMINATION_LOG
from farthing.contract.progress import MAX_LAST_WORD_BYTES, CheckpointReport, LastWord, Progress
from farthing_trainer.last_word import amend_last_word, write_last_word
from farthing_trainer.report import fit_last_word


@pytest.fixture
def word_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "last-word.json"
    path.touch()
    monkeypatch.setenv(ENV_TERMINATION_LOG, str(path))
    return path


def a_progress(checkpoints: int = 0) -> Progress:
    made = [
        CheckpointReport(
            step=step,
            tokens=step,
            uri="file:///checkpoints/" + "x" * 200,
            digest="d" * 64,
            time="2026-11-24T12:00:00Z",
            seconds=1.0,
            bytes=1,
        )
        for step in range(1, checkpoints + 1)
    ]
    return Progress(
        attempt="a-1",
        stage="Train",
        phase="Training",
        started="2026-11-24T12:00:00Z",
        step=7,
        checkpoints=tuple(made),
        checkpoint=made[-1] if made else None,
    )


def test_a_short_one_is_whole():
    word = LastWord.model_validate_json(fit_last_word(0, "Landed", "done", a_progress(2), "file:///out"))
    assert word.progress == a_progress(2)
    assert (word.exit_code, word.output_uri) == (0, "file:///out")


def test_older_checkpoints_give_way_first():
    text = fit_last_word(75, "PeerLost", "x" * 5000, a_progress(20))
    assert len(text.encode()) <= MAX_LAST_WORD_BYTES
    word = LastWord.model_validate_json(text)
    assert word.progress is not None
    assert word.progress.checkpoint == a_progress(20).checkpoint
    assert word.progress.checkpoints[-1].step == 20
    assert len(word.progress.checkpoints) < 20


def test_the_supervisor_speaks_for_a_trainer_that_could_not(word_file: Path):
    amend_last_word(76, "OutOfMemory", "rank 1 left with -9")
    assert json.loads(word_file.read_text()) == {"exitCode": 76, "reason": "OutOfMemory", "message": "rank 1 left with -9"}


def test_the_pod_s_exit_code_corrects_rank_0_s_and_keeps_its_progress(word_file: Path):
    write_last_word(fit_last_word(75, "PeerLost", "gone", a_progress()))
    amend_last_word(76, "OutOfMemory", "rank 1 left with -9")
    word = LastWord.model_validate_json(word_file.read_bytes())
    assert (word.exit_code, word.reason) == (76, "OutOfMemory")
    assert word.progress == a_progress()


def test_what_rank_0_said_of_the_same_end_stays(word_file: Path):
    write_last_word(fit_last_word(75, "PeerLost", "gone", a_progress()))
    amend_last_word(75, "ProcessLost", "rank 1 left with 1")
    assert LastWord.model_validate_json(word_file.read_bytes()).reason == "PeerLost"


def test_a_file_that_cannot_be_written_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv(ENV_TERMINATION_LOG, str(tmp_path / "missing" / "word"))
    write_last_word("{}")
    assert "could not be written" in capsys.readouterr().err
