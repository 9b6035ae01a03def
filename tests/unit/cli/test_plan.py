"""`farthing plan`: tables and data without a cluster."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from farthing.api import BudgetedTrainingJob, GPUNodePool
from farthing.api.amounts import Axis
from farthing.cli import plan_job
from farthing.cli.exits import exit_code
from farthing.cli.main import app
from farthing.cli.plan_job import plans_for, remaining
from farthing.cli.where import Where, hoist
from farthing.errors import InvalidSpec, NoPlan
from farthing.kube.resources import NAMESPACES

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


@pytest.mark.parametrize("limits", [{"energy": "5"}, {"energy": "5", "cost": "5"}])
def test_a_limit_that_would_stall_the_job_is_refused_here_too(tmp_path, limits):
    failure = run("-f", edited(tmp_path, lambda spec: spec["budget"].update(limits=limits)), "--pools", POOLS).exception

    assert isinstance(failure, InvalidSpec)
    assert failure.field == "spec.budget.limits.energy"
    assert "use cost" in str(failure)


def test_a_deadline_counts_from_now(tmp_path):
    file = edited(tmp_path, lambda spec: spec["budget"].update(deadline="2030-01-01T00:02:00Z", limits={"cost": "5"}))
    job = BudgetedTrainingJob.model_validate(yaml.safe_load(file.read_text()))
    pool = GPUNodePool.model_validate(yaml.safe_load(POOLS.read_text()))

    plans = plans_for(job, [pool], datetime(2030, 1, 1, tzinfo=UTC))

    assert plans.best.binding == "deadline"
    assert plans.best.seconds.value <= 120


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--model"),
        (["-f", JOB, "--model", "llama-3.1-8b"], "ask either"),
        (["-f", JOB, "--tokens", "2e9"], "--tokens"),
        (["--model", "llama-3.1-8b", "--cluster"], "--cluster"),
        (["-f", JOB, "--pools", POOLS, "--to", "x.yaml"], "--pin"),
        (["-f", JOB, "--pools", POOLS, "--pin", "1", "--compare", "1,2"], "leave out --compare and -o"),
        (["-f", JOB, "--pools", POOLS, "--pin", "1", "-o", "json"], "leave out --compare and -o"),
        (["-f", JOB, "--pools", POOLS, "--compare", "1"], "as in 1,3"),
        (["-f", JOB, "--pools", POOLS, "--compare", "1,99"], "99"),
        (["-f", JOB, "--pools", POOLS, "--pin", "99"], "there are the plans 1 to"),
    ],
)
def test_a_question_that_cannot_be_told_apart_names_the_option(arguments, says):
    failure = run(*arguments).exception

    assert isinstance(failure, InvalidSpec)
    assert exit_code(failure) == 2
    assert says in str(failure)


def test_two_plans_of_a_job_are_compared_term_by_term():
    answer = json.loads(run("-f", JOB, "--pools", POOLS, "--compare", "1,2", "-o", "json").stdout)

    terms = {(line["section"], line["term"]): line for line in answer["terms"]}
    assert answer["plans"] == [1, 2]
    assert terms["layout", "sharding"]["left"] != terms["layout", "sharding"]["right"]
    expected = terms["memory: process", "expected_bytes"]
    assert expected["difference"] == expected["right"] - expected["left"]


def test_the_pinned_plan_goes_to_stdout_or_to_a_file(tmp_path):
    out = tmp_path / "pinned.yaml"
    shown = run("-f", JOB, "--pools", POOLS, "--pin", "2").stdout
    written = run("-f", JOB, "--pools", POOLS, "--pin", "2", "--to", out)

    assert written.stdout == ""
    assert out.read_text() == shown
    assert yaml.safe_load(shown)["spec"]["compute"]["strategy"]["microBatchSize"] >= 1


@pytest.mark.parametrize(
    ("arguments", "says"), [(["-f", "-"], "name the file"), (["-f", JOB, "--to", "/"], "cannot be written")]
)
def test_a_manifest_that_cannot_be_read_again_or_written_is_told(arguments, says):
    answer = CliRunner().invoke(app, ["plan", *map(str, arguments), "--pools", str(POOLS), "--pin", "1"], input=JOB.read_text())

    assert says in str(answer.exception)


@dataclass
class FakeCluster:
    """A cluster with one namespace, its pools, and maybe the job."""

    where: Where
    job: dict | None = None
    labels: dict | None = None
    namespace: str = "team"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def find(self, resource, name, namespace=None):
        if resource is NAMESPACES:
            return {"metadata": {"labels": self.labels}} if name == "team" else None
        return self.job

    def pools(self):
        pool = yaml.safe_load(POOLS.read_text())
        selectors = {
            "any": {},
            "none": None,
            "ours": {"matchLabels": {"team": "us"}},
            "theirs": {"matchLabels": {"team": "them"}},
        }
        specs = [(name, {**pool["spec"], "namespaceSelector": selector}) for name, selector in selectors.items()]
        return [GPUNodePool.model_validate({**pool, "metadata": {"name": name}, "spec": spec}) for name, spec in specs]


@pytest.mark.parametrize("asked", [("--cluster",), ("--context", "there")])
def test_the_cluster_is_read_where_it_is_asked_for(asked, monkeypatch):
    monkeypatch.setattr(plan_job, "Cluster", lambda where: FakeCluster(where, labels={"team": "us"}))
    answer = CliRunner().invoke(app, hoist(["plan", "-f", str(JOB), *asked, "--top", "99", "-o", "json"]))

    assert {plan["allocation"]["pool"] for plan in json.loads(answer.stdout)["plans"]} == {"any", "ours"}


def test_what_the_job_spent_in_the_cluster_is_taken_off(monkeypatch):
    spent = yaml.safe_load(JOB.read_text()) | {"status": {"spent": {"cost": "0.03"}}}
    monkeypatch.setattr(plan_job, "Cluster", lambda where: FakeCluster(where, job=spent))
    half, whole = (
        json.loads(run("-f", JOB, *options, "--top", "1", "-o", "json").stdout)["plans"][0]["predictions"]["cost"]["value"]
        for options in (("--cluster",), ("--pools", POOLS))
    )

    assert half < 0.03 < whole


def test_a_file_of_two_jobs_is_no_question(tmp_path):
    both = tmp_path / "both.yaml"
    both.write_text(f"{JOB.read_text()}\n---\n{JOB.read_text()}")

    assert "there are 2" in str(run("-f", both, "--pools", POOLS).exception)
