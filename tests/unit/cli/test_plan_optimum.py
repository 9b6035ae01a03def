"""`farthing plan --optimal`: a size and its tokens for each pool."""

import json

import pytest
from typer.testing import CliRunner

from farthing.catalog import preset
from farthing.cli.main import app
from farthing.errors import InvalidSpec
from farthing.models import architecture_from_config

ASKED = ("plan", "--model", "llama-3.2-1b", "--pool", "h100x8@2.5", "--pool", "a100-80gbx8@1.6", "--optimal")


def asked(*limits):
    found = CliRunner().invoke(app, [*ASKED, *limits, "-o", "json"])
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)["optima"]


def test_each_pool_has_a_free_size_and_a_preset_least_loss_first():
    optima = asked("--budget", "500usd")
    assert {(each["pool"], each["model"] is None) for each in optima} == {
        (pool, free) for pool in ("h100x8", "a100-80gbx8") for free in (True, False)
    }
    losses = [each["loss"]["value"] for each in optima]
    assert losses == sorted(losses)
    for each in optima:
        assert each["cost"] == pytest.approx(500)
        assert each["binding"] == "cost"


def test_a_preset_is_never_better_than_the_free_size_and_has_its_own_parameters():
    optima = asked("--budget", "500usd")
    for pool in ("h100x8", "a100-80gbx8"):
        free, fixed = (
            next(each for each in optima if each["pool"] == pool and (each["model"] is None) is kind) for kind in (True, False)
        )
        assert free["loss"]["value"] <= fixed["loss"]["value"]
        assert fixed["parameters"] == architecture_from_config(preset(fixed["model"])).parameters


def test_more_money_is_a_larger_model_on_more_tokens():
    few, many = asked("--budget", "100usd")[0], asked("--budget", "10000usd")[0]
    assert many["parameters"] > few["parameters"]
    assert many["tokens"] > few["tokens"]
    assert many["loss"]["value"] < few["loss"]["value"]


def test_the_table_says_what_it_leaves_out():
    found = CliRunner().invoke(app, [*ASKED, "--budget", "500usd"], env={"COLUMNS": "120"})
    assert found.exit_code == 0
    assert "of any size" in found.output
    assert "start-up and" in found.output


@pytest.mark.parametrize("more", [("--tokens", "1e9"), ("--budget", "500usd", "--pretrained")])
def test_what_has_no_optimum_says_what_to_do(more):
    found = CliRunner().invoke(app, [*ASKED, *more])
    assert isinstance(found.exception, InvalidSpec)
