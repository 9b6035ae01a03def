"""A save that is ended at any of its writes leaves nothing that is loaded, and takes nothing away that was there before."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.savers import Death, Recover, SaveAndDie, alone, checkpoints, names_in, save_as, together

from farthing.contract.checkpoint import MANIFEST_NAME, checkpoint_folder

TRUNK, OLDER, NEWEST, TORN, AFTER = 5, 10, 15, 20, 30
BEFORE = [checkpoint_folder(step) for step in (TRUNK, OLDER, NEWEST)]


@pytest.fixture(scope="module", params=["file", "store"])
def before(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The scheme of a storage, and a folder with a trunk and two newer checkpoints."""
    folder = tmp_path_factory.mktemp("before")
    store = checkpoints(f"file://{folder}", alone())
    save_as(store, TRUNK, trunk=True)
    save_as(store, OLDER, NEWEST)
    assert names_in(folder) == BEFORE
    return request.param, folder


def torn(before: tuple[str, Path], home: Path, death: Death) -> None:
    """Save once more and die of it; then see what a new attempt finds, and what stands after its next save."""
    scheme, origin = before
    home.mkdir()
    folder, log, found = home / "checkpoints", home / "log", home / "found"
    shutil.copytree(origin, folder)
    uri = f"{scheme}://{folder}"
    codes = together(log, SaveAndDie(uri, TORN, death))
    assert codes[death.rank] < 0, f"{death} did not come\n{log.read_text()}"
    left = names_in(folder)
    committed = (folder / checkpoint_folder(TORN) / MANIFEST_NAME).exists()
    assert together(log, Recover(uri, AFTER, found)) == [0, 0], f"{death}\n{log.read_text()}"
    assert int(found.read_text()) == (TORN if committed else NEWEST), f"{death}\n{log.read_text()}"
    if not committed:
        half_done = [name for name in left if name.startswith(checkpoint_folder(TORN))]
        assert all(f"checkpoint {name} is skipped" in log.read_text() for name in half_done), f"{death}\n{log.read_text()}"
    newer = TORN if committed else NEWEST
    assert names_in(folder) == [checkpoint_folder(step) for step in (TRUNK, newer, AFTER)], str(death)
    shutil.rmtree(home)


def writes_of(before: tuple[str, Path], home: Path, rank: int) -> list[str]:
    """The writes of one rank in a save that nobody ends."""
    scheme, origin = before
    home.mkdir()
    shutil.copytree(origin, home / "checkpoints")
    death = Death(rank, counted=home / "writes")
    assert together(home / "log", SaveAndDie(f"{scheme}://{home}/checkpoints", TORN, death)) == [0, 0]
    return (home / "writes").read_text().splitlines()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_dies_before_any_of_its_writes(before: tuple[str, Path], tmp_path: Path, rank: int):
    writes = writes_of(before, tmp_path / "counted", rank)
    assert {"open", "os.fsync"} <= set(writes)
    deaths = {tmp_path / f"{number}-{event}": Death(rank, number) for number, event in enumerate(writes, start=1)}
    with ThreadPoolExecutor(2) as both_cores:
        list(both_cores.map(lambda home: torn(before, home, deaths[home]), deaths))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_dies_with_half_of_its_shard_written(before: tuple[str, Path], tmp_path: Path, rank: int):
    torn(before, tmp_path / "half", Death(rank, half_a_file=True))
