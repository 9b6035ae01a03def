"""Full fine-tuning and LoRA of the model that the main job made, by the examples as they are."""

import pytest
from tests.e2e.conftest import PATIENCE

from farthing.api.amounts import Axis
from farthing.cli.demo.sample import generate
from farthing.cli.tables import finished

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("example", ["finetune", "lora"])
def test_a_finished_model_is_trained_on(example, api, submit, witness, setting):
    name = submit(example)
    jobs = witness.until(lambda jobs: finished(jobs[name]), f"{name} to land", seconds=PATIENCE)
    status = jobs[name].status

    assert status.state == "Complete"
    assert status.spent.as_decimals()[Axis.TOKENS] <= jobs[name].spec.budget.limits.as_decimals()[Axis.TOKENS]
    assert float(status.progress.validation_loss) < 6.0
    assert generate(setting.root, setting.on_host(status.output_uri), "import asyncio\n").text.strip()
