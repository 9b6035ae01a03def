"""The settings tree: defaults, the YAML file, and what is refused."""

import pytest

from farthing.errors import InvalidSpec
from farthing.settings import Settings, parse_settings


def test_empty_text_means_the_defaults() -> None:
    assert parse_settings("") == Settings()


def test_a_key_of_the_file_wins() -> None:
    settings = parse_settings("cycle: {controlPeriod: 2}\nworker: {trainerImage: 'localhost/trainer:1', priorityClass: null}")
    assert settings.cycle.control_period == 2
    assert settings.cycle.controller_lag == Settings().cycle.controller_lag
    assert settings.worker.trainer_image == "localhost/trainer:1"
    assert settings.worker.priority_class is None


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("cycle: {controlPeriods: 2}", "cycle.controlPeriods"),
        ("cycle: {controlPeriod: 0}", "cycle.controlPeriod"),
        ("attempt: {leaseMargin: '0.5'}", "attempt.leaseMargin"),
        ("worker: {imagePullPolicy: Sometimes}", "worker.imagePullPolicy"),
        ("- a list", "settings"),
        ("{", "settings"),
    ],
)
def test_what_is_wrong_is_named(text: str, field: str) -> None:
    with pytest.raises(InvalidSpec) as error:
        parse_settings(text)
    assert error.value.field == field
