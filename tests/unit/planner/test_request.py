"""From manifests to one question: what is looked up, and what is refused with which words."""

from decimal import Decimal

import pytest

from farthing.api.amounts import Axis
from farthing.api.job import BudgetedTrainingJobSpec, LoraSpec
from farthing.api.pool import GPUNodePool
from farthing.catalog import preset
from farthing.catalog.tables import all_presets, presets
from farthing.contract.shape import shape_from_config
from farthing.errors import InvalidSpec, MissingPrice, UnknownAccelerator
from farthing.planner import plan_request
from farthing.planner.request import lora_parameters
from farthing.units import GIB

MONEY = {Axis.COST: Decimal("0.06")}
TOKENS = {Axis.TOKENS: Decimal(1000)}


def pool(name: str = "laptop", labels: dict[str, str] | None = None, **spec: object) -> GPUNodePool:
    price = {"perAcceleratorHour": "0.50", "currency": "USD", "source": "example"}
    values = {"accelerator": "cpu-slot", "acceleratorsPerNode": 2, "price": price, "rate": {"flopsPerSecond": "4e10"}}
    return GPUNodePool.model_validate({"metadata": {"name": name, "labels": labels or {}}, "spec": {**values, **spec}})


def job(model: dict[str, object] | None = None, **compute: object) -> BudgetedTrainingJobSpec:
    return BudgetedTrainingJobSpec.model_validate(
        {
            "model": model or {"preset": "llama-1m"},
            "data": {"train": {"uri": "file:///data"}, "sequenceLength": 256},
            "training": {"globalBatchSize": 4},
            "budget": {"limits": {"cost": "0.06"}, "currency": "USD"},
            "compute": compute,
            "checkpoint": {"storage": {"persistentVolumeClaim": {"claimName": "checkpoints"}}},
        }
    )


def ask(spec: BudgetedTrainingJobSpec, *pools: GPUNodePool, remaining=MONEY, **more: object):
    return plan_request(spec, pools, remaining=remaining, seconds_left=None, **more)


def pretrained(**more: object) -> dict[str, object]:
    return {"pretrained": {"uri": "file:///models/m", "config": preset("llama-1m")}, **more}


def test_fills_the_question_from_job_pool_and_catalogue():
    request = ask(job(), pool(maxNodes=3, acceleratorMemory="2Gi"), startup_seconds={"laptop": 12.0}, tokens_done=5)
    assert request.shape == shape_from_config(preset("llama-1m"))
    assert (request.sequence_length, request.global_batch, request.tokens_done) == (256, 4, 5)
    offer = request.pools[0]
    assert (offer.accelerators, offer.memory_bytes, offer.startup_seconds) == (6, 2 * GIB, 12.0)
    assert (offer.price_per_accelerator_hour, offer.measured_flops_per_second) == (Decimal("0.50"), 4e10)


def test_nodes_that_are_seen_count_even_above_max_nodes():
    seen = pool(maxNodes=1).model_copy(update={"status": pool().status.model_copy(update={"accelerators": 8})})
    assert ask(job(), seen).pools[0].accelerators == 8


def test_selects_by_label_and_spot():
    pools = (pool("a", {"team": "x"}), pool("b", {"team": "x"}, spot=True), pool("c"))
    chosen = {"poolSelector": {"matchLabels": {"team": "x"}}}
    assert [o.name for o in ask(job(**chosen), *pools).pools] == ["a", "b"]
    assert [o.name for o in ask(job(**chosen, spot="Never"), *pools).pools] == ["a"]
    assert [o.name for o in ask(job(spot="Only"), *pools).pools] == ["b"]


def test_no_pool_is_refused():
    with pytest.raises(InvalidSpec, match="no pool has these labels") as caught:
        ask(job(poolSelector={"matchLabels": {"team": "y"}}), pool())
    assert caught.value.reason == "NoPool"


def test_unknown_accelerator_missing_price_and_wrong_currency_are_refused():
    with pytest.raises(UnknownAccelerator, match="H1000"):
        ask(job(), pool(accelerator="H1000"))
    with pytest.raises(MissingPrice, match=r"pool laptop has none.*perAcceleratorHour"):
        ask(job(), pool(price=None))
    with pytest.raises(InvalidSpec) as caught:
        ask(job(), pool(price={"perAcceleratorHour": "1", "currency": "EUR", "source": "example"}))
    assert caught.value.reason == "CurrencyMismatch"


def test_a_rate_that_nobody_knows_is_refused():
    with pytest.raises(InvalidSpec, match=r"spec\.rate.*flopsPerSecond"):
        ask(job(), pool(rate=None))
    assert ask(job(), pool(accelerator="T4", rate=None)).pools[0].measured_flops_per_second is None


def test_a_price_is_only_needed_where_money_is_limited():
    assert ask(job(), pool(price=None), remaining=TOKENS).pools[0].price_per_accelerator_hour is None


def test_a_faulty_pool_does_not_stop_a_good_one():
    assert [o.name for o in ask(job(), pool("bad", accelerator="H1000"), pool("good")).pools] == ["good"]


def test_unknown_preset_and_bad_config_are_refused():
    with pytest.raises(InvalidSpec) as caught:
        ask(job({"preset": "gpt-2"}), pool())
    assert caught.value.reason == "UnknownPreset"
    with pytest.raises(InvalidSpec, match=r"spec\.model\.config.*hidden_size"):
        ask(job({"config": {"model_type": "llama"}}), pool())


@pytest.mark.parametrize("name", sorted(set(all_presets()) - set(presets())))
def test_a_preset_that_the_trainer_does_not_build_is_refused_in_one_sentence(name):
    with pytest.raises(InvalidSpec) as caught:
        ask(job({"preset": name}), pool())
    assert (caught.value.field, caught.value.value) == ("spec.model.preset", name)
    assert f"the trainer does not build it (model_type: '{preset(name)['model_type']}' is not supported" in str(caught.value)
    assert str(caught.value).endswith(f"use one of {', '.join(presets())}")


@pytest.mark.parametrize("name", presets())
def test_a_preset_that_the_trainer_builds_is_planned_with(name):
    assert ask(job({"preset": name}), pool()).shape == shape_from_config(preset(name))


def test_pretrained_needs_its_config_inline():
    with pytest.raises(InvalidSpec, match=r"spec\.model\.pretrained\.config.*config\.json"):
        ask(job({"pretrained": {"uri": "file:///models/m"}}), pool())
    assert ask(job(pretrained()), pool()).pretrained
    bare = job({"pretrained": {"uri": "file:///models/m"}})
    assert ask(bare, pool(), pretrained_config=preset("llama-15m")).shape.hidden == 288


def test_adapters():
    assert ask(job(pretrained(adapter="LoRA")), pool()).adapter_parameters == lora_parameters(
        shape_from_config(preset("llama-1m")), LoraSpec()
    )
    assert ask(job(pretrained(adapter="Auto")), pool()).adapter == "None"
    large = {"pretrained": {"uri": "file:///m", "config": preset("llama-3.1-8b")}, "adapter": "Auto"}
    assert ask(job(large), pool(acceleratorMemory="40Gi")).adapter == "LoRA"
    with pytest.raises(InvalidSpec, match=r"QLoRA.*no 4-bit"):
        ask(job(pretrained(adapter="QLoRA")), pool())
    with pytest.raises(InvalidSpec, match="adapters need trained weights"):
        ask(job({"preset": "llama-1m", "adapter": "LoRA"}), pool())


def test_lora_parameters_by_hand():
    shape = shape_from_config(preset("llama-1m"))
    assert lora_parameters(shape, LoraSpec(rank=8)) == 4 * 8 * (256 + 192 + 192 + 256)
    with pytest.raises(InvalidSpec, match=r"targetModules.*lm_head.*use any of q_proj"):
        lora_parameters(shape, LoraSpec(target_modules=["lm_head"]))
