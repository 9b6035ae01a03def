"""From options to one question."""

import json
from decimal import Decimal

import pytest

from farthing.api.amounts import Axis
from farthing.catalog import preset
from farthing.cli.plan_model import Asked, fixed, model_config, question
from farthing.errors import InvalidSpec, MissingPrice
from farthing.models import architecture_from_config
from farthing.planner.space import KNOBS, explore
from farthing.planner.space.executors import TRAINER


def ask(**options):
    return question(Asked(**{"model": "llama-3.1-8b", "pool": ["h100x8@2.5"], "tokens": "2e9", **options}))


def test_the_question_of_the_manual():
    asked, notes = ask(budget="500usd", deadline="12h", unique_tokens="1e9")

    assert asked.architecture.parameters == 8_030_261_248
    assert asked.remaining == {Axis.COST: Decimal(500), Axis.TOKENS: Decimal("2e9")}
    assert asked.seconds_left == 12 * 3600
    assert (asked.sequence_length, asked.global_batch, asked.framework) == (4096, 128, "farthing")
    assert asked.unique_tokens == 1_000_000_000
    assert [offer.name for offer in asked.pools] == ["h100x8"]
    assert notes == ()


def test_every_limit_has_an_option():
    asked, _ = ask(accelerator_hours="20", flops="1e21", energy="3.5")

    assert asked.remaining == {
        Axis.ACCELERATOR_HOURS: Decimal(20),
        Axis.FLOPS: Decimal("1e21"),
        Axis.TOKENS: Decimal("2e9"),
        Axis.ENERGY: Decimal("3.5"),
    }


def test_passes_over_the_data_are_tokens():
    asked, _ = ask(tokens=None, epochs="2.5", unique_tokens="4e8")

    assert asked.remaining == {Axis.TOKENS: Decimal("1e9")}


def test_a_deadline_is_a_limit_too():
    assert ask(tokens=None, deadline="1h30m")[0].seconds_left == 5400


def test_prices_are_in_the_budgets_currency():
    asked, _ = ask(budget="500eur")

    assert asked.pools[0].currency == "EUR"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tokens": None}, "--budget, --tokens"),
        ({"pool": []}, "--pool"),
        ({"pool": None}, "--pool"),
        ({"tokens": "many"}, "--tokens"),
        ({"tokens": "0"}, "--tokens: '0'"),
        ({"accelerator_hours": "-1"}, "--accelerator-hours"),
        ({"budget": "lots"}, "--budget"),
        ({"deadline": "tomorrow"}, "--deadline"),
        ({"epochs": "2"}, "--epochs"),
        ({"epochs": "2", "tokens": None}, "--unique-tokens"),
        ({"framework": "tensorflow"}, "torchtitan"),
        ({"fix": ["colour=red"]}, "sequence_parallel"),
        ({"fix": ["tp"]}, "tp=VALUE"),
        ({"fix": ["adapter=None"], "adapter": "LoRA"}, "fixed twice"),
        ({"model": "no-such-model"}, "llama-3.1-8b"),
    ],
)
def test_a_wrong_option_is_named_with_the_way_out(options, says):
    with pytest.raises(InvalidSpec) as failure:
        ask(**options)

    assert says in str(failure.value)


def test_money_needs_prices():
    with pytest.raises(MissingPrice):
        ask(budget="500usd", pool=["t4x8"])


def test_what_may_be_used():
    assert fixed(["tp=2, 4", "Micro-Batch=1"], "LoRA,QLoRA") == {
        "tp": ("2", "4"), "micro_batch": ("1",), "adapter": ("LoRA", "QLoRA"),
    }  # fmt: skip
    assert set(fixed([f"{knob}=x" for knob in KNOBS])) == set(KNOBS)


@pytest.mark.parametrize("options", [{}, {"pretrained": True}, {"pretrained": True, "adapter": "LoRA"}, {"fix": ["tp=1"]}])
def test_only_what_the_own_trainer_runs(options):
    asked, _ = ask(own_trainer=True, pool=["h100x8x2@2.5"], **options)
    choices = explore(asked, top=200).choices

    assert len(choices) >= 4
    assert {choice.layout.executable_by for choice in choices} == {TRAINER}
    assert {choice.layout.adapter for choice in choices} <= {"None", "LoRA" if asked.pretrained else "None"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fix": ["tp=1,2"]}, r"--fix tp: '2'.*own trainer runs 1"),
        ({"fix": ["precision=FP8"]}, "bfloat16, float32"),
        ({"model": "gpt2"}, "--own-trainer: 'gpt2'"),
    ],
)
def test_what_the_own_trainer_does_not_run_is_told(options, says):
    with pytest.raises(InvalidSpec, match=says):
        ask(own_trainer=True, **options)


@pytest.mark.parametrize("name", ["torchtitan", "TorchTitan", "default"])
def test_a_framework_by_its_name(name):
    assert ask(framework=name)[0].framework == name.lower()


def test_a_framework_by_its_alias():
    assert ask(framework="trl")[0].framework == "hf-trainer"


def test_a_model_is_a_preset_a_file_or_a_folder(tmp_path):
    config = preset("llama-3.1-8b")
    (tmp_path / "config.json").write_text(json.dumps(config))

    assert model_config("Llama-3.1-8B") == config
    assert model_config(str(tmp_path)) == config
    assert model_config(str(tmp_path / "config.json")) == config


@pytest.mark.parametrize(("text", "says"), [("{", "no readable JSON"), ("[]", "no JSON object"), ("{}", "model_type")])
def test_a_config_that_cannot_be_read_names_the_model(tmp_path, text, says):
    (tmp_path / "config.json").write_text(text)

    with pytest.raises(InvalidSpec, match=f"--model.*{says}"):
        ask(model=str(tmp_path))


def test_sequences_are_no_longer_than_the_model_holds():
    short, _ = ask(model="gpt2")
    _, told = ask(model="gpt2", sequence_length=2048)

    assert short.sequence_length == 1024 < 4096
    assert "longer than the 1024 positions" in told[0]
    assert ask(sequence_length=8192)[1] == ()


def test_the_models_size_is_exactly_that_of_its_config():
    for name in ("qwen3-30b-a3b", "deepseek-v2-lite"):
        assert ask(model=name)[0].architecture == architecture_from_config(preset(name))
