"""The examples: valid, planned without a cluster, and telling of one another what is so."""

from pathlib import Path

import pytest
import yaml

from farthing.api import BudgetedTrainingJob, GPUNodePool, TrainingBudget
from farthing.api.amounts import Axis
from farthing.cli.manifests import jobs_in, pools_in, read_manifests
from farthing.cli.plan import plans_for
from farthing.clock import SystemClock
from farthing.units import parse_quantity

EXAMPLES = Path(__file__).parents[3] / "examples"
FILES = sorted(EXAMPLES.glob("*.yaml"))
JOBS = ("stdlib-lm", "urgent", "finetune", "lora")


def job(name):
    file = EXAMPLES / f"{name}.yaml"
    return jobs_in(read_manifests(file), str(file))[0]


def pool():
    file = EXAMPLES / "pool.yaml"
    return pools_in(read_manifests(file), str(file))[0]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_fits_its_model_whole(file):
    models = {model.__name__: model for model in (BudgetedTrainingJob, GPUNodePool, TrainingBudget)}
    for manifest in yaml.safe_load_all(file.read_text()):
        model = models[manifest["kind"]]
        written = model.model_validate(manifest).spec.model_dump(by_alias=True, exclude_unset=True, mode="json")
        assert written == manifest["spec"], "a model drops what it does not know"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_explains_itself(file):
    lines = file.read_text().splitlines()

    assert lines[0].startswith("# ")
    assert sum("#" in line for line in lines) >= 3
    assert max(len(line) for line in lines) <= 140


@pytest.mark.parametrize("name", JOBS)
def test_an_examples_job_fits_the_examples_pool(name):
    best = plans_for(job(name), [pool()], SystemClock().now()).best

    assert best is not None
    assert best.memory_request_bytes <= 2 * parse_quantity(pool().spec.accelerator_memory)


def test_the_urgent_job_takes_the_whole_pool_and_shares_the_prepared_data():
    patient, urgent, slots = job("stdlib-lm"), job("urgent"), pool().spec.accelerators_per_node

    assert urgent.spec.compute.accelerators.min == slots
    assert urgent.spec.data.train == patient.spec.data.train
    assert urgent.spec.data.tokenizer == patient.spec.data.tokenizer
    assert (patient.spec.priority_class_name, urgent.spec.priority_class_name) == ("normal", "urgent")


def test_the_two_kinds_of_budget():
    assert set(job("stdlib-lm").spec.budget.limits.as_decimals()) == {Axis.COST}
    assert set(job("urgent").spec.budget.limits.as_decimals()) == {Axis.TOKENS}


@pytest.mark.parametrize("name", ["finetune", "lora"])
def test_fine_tuning_starts_from_the_demos_output(name):
    pretrained = job(name).spec.model.pretrained

    assert pretrained.uri == job("stdlib-lm").spec.output.uri
    assert pretrained.config["vocab_size"] == job("stdlib-lm").spec.data.tokenizer.vocabulary_size
