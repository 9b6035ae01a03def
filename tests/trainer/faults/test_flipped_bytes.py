"""A byte that flipped in any file of a checkpoint is seen by digest, the manifest's by its own; the one before is loaded."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.savers import alone, checkpoints, names_in, save_as

from farthing.contract.checkpoint import MANIFEST_NAME, checkpoint_folder
from farthing_trainer.checkpoint import Checkpoints

OLDER, NEWEST = 10, 20
FILES = [".metadata", "__0_0.distcp", MANIFEST_NAME]


@pytest.fixture
def store(tmp_path: Path) -> Checkpoints:
    """Two checkpoints."""
    made = checkpoints(f"file://{tmp_path}", alone())
    save_as(made, OLDER, NEWEST)
    assert names_in(tmp_path / checkpoint_folder(NEWEST)) == FILES
    return made


def offsets(size: int) -> Iterator[int]:
    """Every byte of a small file; of a larger one the first, the last and every 97th."""
    yield from range(0, size, 1 if size < 2000 else 97)
    yield size - 1


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_anywhere_is_skipped_and_said_so(
    store: Checkpoints, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
):
    path = tmp_path / checkpoint_folder(NEWEST) / name
    whole = path.read_bytes()
    caplog.set_level(logging.WARNING)
    for offset in offsets(len(whole)):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
        caplog.clear()
        found = store.newest()
        assert found is not None
        assert found.manifest.step == OLDER, f"byte {offset} of {name}"
        assert f"checkpoint {checkpoint_folder(NEWEST)} is skipped" in caplog.text
    path.write_bytes(whole)
    found = store.newest()
    assert found is not None
    assert found.manifest.step == NEWEST
