"""`farthing plan`: tables and data without a cluster."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from farthing.api import BudgetedTrainingJob, GPUNodePool
from farthing.api.amounts import Axis
from farthing.cli.exits import exit_code
from farthing.cli.main import app
from farthing.cli.plan import plans_for, remaining, spread
from farthing.domain.plan import Prediction
from farthing.errors import InvalidSpec, NoPlan

ROOT = Path(__file__).parents[3]
JOB = ROOT / "examples" / "stdlib-lm.yaml"
POOLS = ROOT / "examples" / "pool.yaml"


def run(*arguments):
    return CliRunner().invoke(app, ["plan", *map(str, arguments)])


def edited(tmp_path, change):
    manifest = yaml.safe_load(JOB.read_text())
    change(manifest["spec"])
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(manifest))
    return file


def test_the_best_plans_come_as_data_with_their_intervals():
    answer = json.loads(run("-f", JOB, "--pools", POOLS, "-o", "json", "--top", "3").stdout)

    assert len(answer["plans"]) == 3
    best = answer["plans"][0]
    assert best["allocation"]["pool"] == "cpu"
    for name in ("tokens_per_second", "cost", "seconds", "tokens", "loss"):
        number = best["predictions"][name]
        assert number["low"] <= number["value"] <= number["high"]
        assert number["source"]


def test_the_table_shows_what_people_choose_by():
    shown = run("-f", JOB, "--pools", POOLS).stdout

    columns = ("POOL", "GANG", "MEMORY", "TOKENS/S", "COST", "TIME", "TOKENS", "LOSS", "STRATEGY", "±")
    assert [word for word in columns if word not in shown] == []


def test_without_pools_it_says_how_to_name_them():
    failure = run("-f", JOB).exception

    assert isinstance(failure, InvalidSpec)
    assert exit_code(failure) == 2
    assert "--pools" in str(failure)


def test_where_nothing_fits_it_says_what_is_in_the_way(tmp_path):
    job = edited(tmp_path, lambda spec: spec["budget"].update(limits={"cost": "0.000001"}))
    failure = run("-f", job, "--pools", POOLS).exception

    assert isinstance(failure, NoPlan)
    assert exit_code(failure) == 1
    assert "budget:cost" in str(failure)


def test_why_lists_the_plans_that_lost(tmp_path):
    pools = tmp_path / "pools.yaml"
    small = POOLS.read_text().replace("name: cpu\n", "name: tiny\n").replace("3Gi", "64Mi")
    pools.write_text(f"{POOLS.read_text()}\n---\n{small}")

    assert "rejected tiny" in run("-f", JOB, "--pools", pools, "--why").stdout


def test_only_what_is_left_of_the_budget_is_planned_with():
    job = BudgetedTrainingJob.model_validate(yaml.safe_load(JOB.read_text()) | {"status": {"spent": {"cost": "0.05"}}})
    overspent = BudgetedTrainingJob.model_validate(yaml.safe_load(JOB.read_text()) | {"status": {"spent": {"cost": "7"}}})

    assert remaining(job) == {Axis.COST: Decimal("0.01")}
    assert remaining(overspent) == {Axis.COST: Decimal(0)}


def test_a_deadline_counts_from_now(tmp_path):
    file = edited(tmp_path, lambda spec: spec["budget"].update(deadline="2030-01-01T00:02:00Z", limits={"cost": "5"}))
    job = BudgetedTrainingJob.model_validate(yaml.safe_load(file.read_text()))
    pool = GPUNodePool.model_validate(yaml.safe_load(POOLS.read_text()))

    plans = plans_for(job, [pool], datetime(2030, 1, 1, tzinfo=UTC))

    assert plans.best.binding == "deadline"
    assert plans.best.seconds.value <= 120


@pytest.mark.parametrize(
    ("number", "want"),
    [
        (None, "–"),
        (Prediction(7100, 0.0, "tokens/s", "x"), "7.1k ±0%"),
        (Prediction(90, 0.0, "s", "x"), "1m30s ±0%"),
        (Prediction(0, 0.5, "USD", "x"), "0"),
    ],
)
def test_a_number_with_its_spread(number, want):
    assert spread(number) == want
