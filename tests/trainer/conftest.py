"""Fixtures of the trainer tier: data prepared once, and a home of its own for every test."""

from pathlib import Path

import pytest
from tests.support.trainer import Home, prepared_home


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder runs torch on the CPU in processes of its own."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.trainer)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus and its finished product; no test changes it."""
    return prepared_home(tmp_path_factory.mktemp("data"))


@pytest.fixture
def home(data: Path, tmp_path: Path) -> Home:
    """A fresh folder whose runs train on the prepared data."""
    return Home(tmp_path, data)
