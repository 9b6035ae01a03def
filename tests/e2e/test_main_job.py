"""The main job: `make demo`'s own machinery on the tier's cluster, and what it wrote down."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from farthing.cli.demo.setting import LOSS_BOUND, PATIENT, URGENT

pytestmark = pytest.mark.e2e


def test_everything_happened_that_had_to(main_job):
    assert {condition.name: condition.detail for condition in main_job.conditions if not condition.holds} == {}
    assert main_job.passed


def test_the_result_is_written_as_documented(main_job, setting):
    written = json.loads(setting.result.read_text())

    assert written == json.loads(main_job.to_json())
    assert set(written["jobs"]) == {PATIENT, URGENT}


@pytest.mark.parametrize("name", [PATIENT, URGENT])
def test_no_limit_was_passed(main_job, name):
    job = main_job.jobs[name]

    assert job.limit
    for axis, limit in job.limit.items():
        assert 0 < Decimal(job.spent[axis]) <= Decimal(limit)


def test_most_of_the_money_was_put_to_use(main_job):
    job = main_job.jobs[PATIENT]

    assert Decimal(job.spent["cost"]) >= Decimal(job.limit["cost"]) * Decimal("0.6"), "landing early wastes what was given"


def test_tokens_are_used_up_to_the_last_step(main_job):
    job = main_job.jobs[URGENT]
    tokens_a_step = 4 * 256

    assert Decimal(job.limit["tokens"]) - Decimal(job.spent["tokens"]) < tokens_a_step


def test_the_bill_covers_prepare_start_up_and_both_attempts(main_job):
    stages = [record["spec"]["stage"] for record in main_job.jobs[PATIENT].spend_records]
    waste = [record["status"]["waste"] for record in main_job.jobs[PATIENT].spend_records if record["spec"]["stage"] == "Train"]

    assert stages[0] == "Prepare"
    assert stages.count("Train") >= 2
    assert all(Decimal(each["startup"]) > 0 for each in waste)


def test_it_learned(main_job):
    job = main_job.jobs[PATIENT]

    assert job.validation_loss < LOSS_BOUND
    assert 1.0 < job.bits_per_byte < 6.0


def test_predictions_have_their_measurements_beside_them(main_job):
    measured = {each.name for each in main_job.jobs[PATIENT].predictions if each.measured is not None}

    assert {"memory", "tokensPerSecond", "cost", "loss"} <= measured


def test_every_decision_is_a_sentence_with_numbers(main_job):
    actions = {decision["action"] for decision in main_job.jobs[PATIENT].decisions}

    assert {"Start", "RequestStop", "Settle", "Finish"} <= actions
    assert all(decision["reason"] for decision in main_job.jobs[PATIENT].decisions)


def test_the_weights_are_a_model_folder(main_job):
    folder = Path(main_job.jobs[PATIENT].weights)

    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {file.name for file in folder.iterdir()}
    assert main_job.sample.text.strip()


def test_kept_checkpoints_include_the_trunk(main_job):
    kept = [checkpoint for checkpoint in main_job.jobs[PATIENT].checkpoints if checkpoint.kept]

    assert kept
    assert all(len(checkpoint.digest) == 64 and checkpoint.seconds > 0 for checkpoint in kept)
