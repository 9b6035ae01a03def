"""What the pods are told of the model and the data, for every way to name them."""

from typing import Any

import pytest
from tests.support.lives import JOB, START, a_cluster, a_job, a_pool
from tests.support.starts import start

from farthing.api import BudgetedTrainingJob
from farthing.contract.runconfig import RunConfig
from farthing.domain.decision import OpenAttempt
from farthing.engine.runconfig import AttemptIdentity, run_config

DATA: dict[str, Any] = JOB["spec"]["data"]
LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 512,
}
PRETRAINED = {"uri": "file:///models/tiny", "revision": "main"}


def told(*, from_trunk: bool = False, **spec: Any) -> RunConfig:
    job: BudgetedTrainingJob = a_cluster().create_job(a_job(**spec))
    action: OpenAttempt = start(job, a_pool(), 1, START)
    identity = AttemptIdentity(action.attempt, 1, "Train", from_trunk=from_trunk)
    return run_config(job, identity, action.plan, action.lease, a_pool(), START)


def test_a_config_inline_is_told_as_it_is_with_a_tokenizer_of_its_vocabulary() -> None:
    config = told(model={"config": LLAMA}, data={key: value for key, value in DATA.items() if key != "tokenizer"})
    assert (config.model.config, config.model.pretrained_uri) == (LLAMA, None)
    assert config.data.tokenizer.vocabulary_size == 512


def test_pretrained_weights_bring_their_tokenizer() -> None:
    config = told(model={"pretrained": PRETRAINED}, data={key: value for key, value in DATA.items() if key != "tokenizer"})
    assert (config.model.config, config.model.pretrained_uri) == (None, "file:///models/tiny")
    assert config.data.tokenizer.uri == "file:///models/tiny"


def test_the_shape_of_an_adapter_is_told() -> None:
    config = told(model={"preset": "llama-1m", "adapter": "LoRA", "lora": {"rank": 4, "alpha": 8, "targetModules": ["q_proj"]}})
    assert (config.model.lora.rank, config.model.lora.alpha, config.model.lora.target_modules) == (4, 8, ("q_proj",))


@pytest.mark.parametrize("uri", ["file:///data/held-out/*.py", None])
def test_validation_data_of_its_own_or_a_share(uri: str | None) -> None:
    validation = {"fraction": "0.05"} if uri is None else {"uri": uri, "format": "Text"}
    config = told(data={**DATA, "validation": validation})
    assert (None if config.data.validation is None else config.data.validation.uri) == uri
    assert config.data.validation_fraction == (0.05 if uri is None else 0.01)


def test_where_to_begin_is_told() -> None:
    assert told().checkpoint.resume == "Newest"
    assert told(from_trunk=True).checkpoint.resume == "Trunk"
