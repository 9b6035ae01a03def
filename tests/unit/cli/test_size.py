"""`farthing size`: a set of jobs and pools of the examples, as tables and as data, without a cluster."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from farthing.api import BudgetedTrainingJob, GPUNodePool
from farthing.cli.exits import Exit, exit_code
from farthing.cli.main import app
from farthing.cli.size import cost_text, key, more_text
from farthing.engine.sizing import MAX_JOBS, MAX_LOOKS
from farthing.errors import InvalidSpec, MissingPrice
from farthing.planner.sizing import LOOKS
from farthing.planner.sizing_options import OPTIONS, SHARE_STEP
from farthing.planner.sizing_pools import NodeMore

EXAMPLES = Path(__file__).parents[3] / "examples"
JOBS, POOLS = EXAMPLES / "sizing" / "jobs.yaml", EXAMPLES / "sizing" / "pools.yaml"
ONE_JOB, ONE_POOL = EXAMPLES / "urgent.yaml", EXAMPLES / "pool.yaml"


def run(*arguments):
    return CliRunner().invoke(app, ["size", *map(str, arguments)])


def written(tmp_path, name, *manifests):
    file = tmp_path / name
    file.write_text(yaml.safe_dump_all(manifests))
    return file


def manifest(file, name=None, **spec):
    found = yaml.safe_load(file.read_text())
    return {**found, "metadata": {"name": name or found["metadata"]["name"]}, "spec": {**found["spec"], **spec}}


@pytest.fixture(scope="module")
def shown():
    return run("-f", JOBS, "--pools", POOLS)


@pytest.fixture(scope="module")
def answer():
    return json.loads(run("-f", JOBS, "--pools", POOLS, "-o", "json").stdout)


@pytest.mark.parametrize("file", [JOBS, POOLS], ids=lambda file: file.stem)
def test_the_examples_fit_their_models_whole(file):
    models = {model.__name__: model for model in (BudgetedTrainingJob, GPUNodePool)}
    for each in yaml.safe_load_all(file.read_text()):
        dumped = models[each["kind"]].model_validate(each).spec.model_dump(by_alias=True, exclude_unset=True, mode="json")
        assert dumped == each["spec"]
    assert file.read_text().startswith("# ")


def test_the_tables_show_pools_and_jobs(shown):
    words = ("POOL", "NODES", "OF", "FOR", "NODE-HOURS", "COST", "ONE NODE MORE", "STARTS IN", "START-UP", "ENDS IN", "base-1b")

    assert [word for word in words if word not in shown.stdout] == []


def test_it_ends_with_1_where_a_job_does_not_fit_and_says_why(shown):
    assert shown.exit_code == Exit.FAILED
    assert "large-70b does not fit: " in shown.stdout
    assert "more ways to place" not in shown.stdout


def test_as_data_pools_and_placements_agree(answer):
    pools, jobs = {each["pool"]: each for each in answer["pools"]}, answer["jobs"]

    assert answer["exact"]
    assert set(pools) == {"h100", "l40s"}
    for name, pool in pools.items():
        here = [each for each in jobs if each["allocation"]["pool"] == name]
        assert pool["jobs"] == [each["job"] for each in here]
        assert pool["cost"] == pytest.approx(sum(each["cost"] for each in here))
        hours = sum(each["nodes"] * (each["endSeconds"] - each["startSeconds"]) for each in here) / 3600
        assert pool["nodeHours"] == pytest.approx(hours)
        assert pool["nodesNow"] <= pool["nodes"] <= pool["limit"]
        assert pool["currency"] == "USD"


def test_every_placed_job_tells_its_start_up_and_where_that_is_from(answer):
    assert answer["jobs"]
    assert all(each["startupSeconds"] > 0 and each["startupSource"] for each in answer["jobs"])


def test_every_job_has_a_place_or_a_reason(answer):
    names = {each["metadata"]["name"] for each in yaml.safe_load_all(JOBS.read_text())}

    assert {each["job"] for each in answer["jobs"]} | set(answer["unfit"]) == names


def test_a_job_that_fits_ends_well(tmp_path):
    file = written(tmp_path, "all.yaml", manifest(ONE_JOB), manifest(ONE_POOL))
    done = run("-f", file)

    assert done.exit_code == Exit.OK
    assert "does not fit" not in done.stdout


def test_jobs_that_need_the_same_node_wait_for_each_other_and_a_node_more_helps(tmp_path):
    file = written(tmp_path, "jobs.yaml", manifest(ONE_JOB, "a"), manifest(ONE_JOB, "b"))
    found = json.loads(run("-f", file, "--pools", ONE_POOL, "-o", "json").stdout)

    first, second = found["jobs"]
    assert (first["startSeconds"], second["startSeconds"]) == (0.0, first["endSeconds"])
    assert found["pools"][0]["oneNodeMore"]["startsAtOnce"] == [second["job"]]
    assert found["pools"][0]["oneNodeMore"]["secondsSaved"] == pytest.approx(first["endSeconds"])


def test_a_deadline_keeps_a_job_from_waiting(tmp_path):
    budget = manifest(ONE_JOB)["spec"]["budget"]
    late = {**budget, "deadline": "2999-01-01T00:00:00Z"}
    past = {**budget, "deadline": "2001-01-01T00:00:00Z"}
    file = written(tmp_path, "jobs.yaml", manifest(ONE_JOB, "a", budget=late), manifest(ONE_JOB, "b", budget=past))
    found = json.loads(run("-f", file, "--pools", ONE_POOL, "-o", "json").stdout)

    assert [each["job"] for each in found["jobs"]] == ["a"]
    assert "deadline" in found["unfit"]["b"]


def test_a_job_with_a_fault_of_its_own_is_told_and_stops_no_other(tmp_path):
    lost = manifest(ONE_JOB, "lost", compute={"poolSelector": {"matchLabels": {"zone": "moon"}}})
    file = written(tmp_path, "jobs.yaml", manifest(ONE_JOB, "a"), lost)
    found = json.loads(run("-f", file, "--pools", ONE_POOL, "-o", "json").stdout)

    assert [each["job"] for each in found["jobs"]] == ["a"]
    assert "poolSelector" in found["unfit"]["lost"]


def test_a_common_budget_keeps_jobs_out(tmp_path):
    file = written(tmp_path, "jobs.yaml", manifest(ONE_JOB, "a"), manifest(ONE_JOB, "b"))
    whole = json.loads(run("-f", file, "--pools", ONE_POOL, "-o", "json").stdout)
    half = f"{1.5 * whole['jobs'][0]['cost']}usd"
    done = run("-f", file, "--pools", ONE_POOL, "--budget", half, "-o", "yaml")

    assert len(yaml.safe_load(done.stdout)["jobs"]) == 1
    assert done.exit_code == Exit.FAILED


@pytest.mark.parametrize(
    ("pools", "arguments", "error", "words"),
    [
        ([manifest(ONE_POOL)], ["--budget", "5eur"], InvalidSpec, "one currency"),
        ([manifest(ONE_POOL)], ["--budget", "much"], InvalidSpec, "--budget"),
        ([manifest(ONE_POOL, price=None)], ["--budget", "5"], MissingPrice, "pool cpu has none"),
        ([manifest(ONE_POOL), manifest(ONE_POOL)], [], InvalidSpec, "name every pool once"),
        ([], [], InvalidSpec, "--pools"),
    ],
    ids=["another currency", "no amount", "no price", "a pool twice", "no pool"],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(tmp_path, pools, arguments, error, words):
    file = written(tmp_path, "all.yaml", manifest(ONE_JOB), *pools)
    failure = run("-f", file, *arguments).exception

    assert isinstance(failure, error)
    assert exit_code(failure) == Exit.USAGE
    assert words in str(failure)


def test_no_job_and_a_job_twice_are_refused(tmp_path):
    assert "at least one" in str(run("-f", ONE_POOL).exception)
    twice = written(tmp_path, "twice.yaml", manifest(ONE_JOB), manifest(ONE_JOB), manifest(ONE_POOL))
    assert "once" in str(run("-f", twice).exception)


def test_a_search_that_was_cut_short_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("farthing.cli.size.LOOKS", 2)
    file = written(tmp_path, "jobs.yaml", *(manifest(ONE_JOB, name) for name in "abc"))

    assert "more ways to place" in run("-f", file, "--pools", ONE_POOL).stdout


def test_the_key_of_a_job_has_its_namespace():
    found = manifest(ONE_JOB)
    found["metadata"]["namespace"] = "team"

    assert key(BudgetedTrainingJob.model_validate(found)) == "team/urgent"
    assert key(BudgetedTrainingJob.model_validate(manifest(ONE_JOB))) == "urgent"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (NodeMore(), "nothing"),
        (NodeMore(placed=("a",), at_once=("a",), cost=-12.5), "runs a, costs +12.50 USD"),
        (NodeMore(at_once=("a", "b", "c", "d"), seconds=7200.0), "starts a, b, c and 1 more at once, ends 2h00m sooner in all"),
        (NodeMore(loss=0.0123, seconds=-60.0), "loss -0.012 nats, ends 1m00s later in all"),
        (NodeMore(loss=0.0001, seconds=0.5, cost=0.001), "nothing"),
        (NodeMore(cost=0.5), "costs -0.5 USD"),
    ],
)
def test_a_node_more_in_words(more, words):
    assert more_text(more, "USD") == words


@pytest.mark.parametrize(("amount", "want"), [(None, "–"), (12.345, "12.35 USD"), (0.0612, "0.0612 USD"), (0.0, "0 USD")])
def test_money_is_told_to_the_cent_or_to_three_digits(amount, want):
    assert cost_text(amount, "USD") == want


def test_the_manual_tells_the_bounds_of_the_search():
    told = (EXAMPLES.parent / "docs" / "sizing.md").read_text()

    assert f"at most {OPTIONS} options" in told
    assert f"of {SHARE_STEP:.0%}" in told
    assert f"looks at {LOOKS:,} placements" in told
    assert f"{MAX_JOBS} waiting jobs" in told
    assert f"{MAX_LOOKS:,} placements" in told
