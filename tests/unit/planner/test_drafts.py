"""Drafts: every candidate of a request in a fixed order, each by the model of its kind of device."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from tests.unit.planner.builders import ask_of, offer_of

from farthing.api.amounts import Axis
from farthing.api.job import StrategySpec
from farthing.catalog import preset
from farthing.domain.plan import Plan
from farthing.models import architecture_from_config
from farthing.planner import plan
from farthing.planner.drafts import drafts
from farthing.planner.space import SpaceQuestion, explore

FROZEN = json.loads(Path(__file__).with_name("cpu_plans.json").read_text(encoding="utf-8"))
"""Plans on CPU slots as the trainer's e2e runs have validated them: a change of them is a change of the CPU model."""
QUESTIONS = {
    "default": {},
    "two workers": {"min_accelerators": 2},
    "tokens": {"remaining": {Axis.TOKENS: Decimal(150_000)}},
    "llama-15m, fast slots": {
        "model": "llama-15m", "sequence_length": 512, "global_batch": 8, "remaining": {Axis.COST: Decimal(1)},
        "pools": (offer_of(measured_flops_per_second=1.28e11),),
    },
    "adapter": {"adapter": "LoRA", "adapter_parameters": 28672, "pretrained": True},
    "four workers, per layer": {
        "min_accelerators": 4, "pools": (offer_of(accelerators_per_node=4, accelerators=4),),
        "fixed": StrategySpec(sharding="FullShard", grouping="PerLayer"),
    },
}  # fmt: skip


def seen(found: Plan) -> dict[str, object]:
    return {
        "strategy": f"{found.world_size} {found.strategy.signature}",
        "terms": {phase: dict(terms) for phase, terms in found.memory.terms.items()},
        "phases": {phase: sum(terms.values()) for phase, terms in found.memory.terms.items()},
        "baseline": found.memory.baseline,
        "safety": found.memory.safety,
        "memory_request_bytes": found.memory_request_bytes,
        "shm_bytes": found.shm_bytes,
        "step_seconds": found.step_seconds.value,
        "tokens_per_second": found.tokens_per_second.value,
        "sigma": found.step_seconds.sigma,
        "flops_per_token": found.flops_per_token,
        "peak_flops_per_second": found.peak_flops_per_second,
        "tokens": found.tokens.value,
        "flops": found.flops.value,
        "loss": found.loss.value if found.loss else None,
        "binding": found.binding,
    }


@pytest.mark.parametrize("question", QUESTIONS)
def test_plans_on_cpu_slots_are_as_they_were(question):
    """To the last bit, but for the seconds: the waste of checkpoints is Young's at Daly's interval, not at Young's own."""
    plans = plan(ask_of(**QUESTIONS[question])).plans
    assert len(plans) == len(FROZEN[question])
    for found, frozen in zip(plans, FROZEN[question], strict=True):
        assert {name: value for name, value in seen(found).items() if name in frozen} == {
            name: value for name, value in frozen.items() if name != "seconds"
        }
        assert found.seconds.value == pytest.approx(frozen["seconds"], rel=1e-6)


def test_drafts_are_the_same_twice():
    pools = (offer_of("a100", "A100-80GB-SXM"), offer_of())
    assert drafts(ask_of(pools=pools)) == drafts(ask_of(pools=pools))


def test_each_kind_of_device_has_its_own_model():
    gpu, cpu = offer_of("a100", "A100-80GB-SXM"), offer_of()
    request = ask_of(pools=(cpu, gpu))
    found = drafts(request)
    assert [each.offer.name for each in found] == sorted((each.offer.name for each in found), key=["laptop", "a100"].index)
    assert found == (*drafts(request, cpu), *drafts(request, gpu))
    assert {each.speed_source for each in found if each.offer is cpu} == {"measured rate of the pool, size-dependent"}
    assert {each.sigma for each in found if each.offer is cpu} == {0.35}
    assert all("roofline of A100-80GB-SXM" in each.speed_source for each in found if each.offer is gpu)
    assert all(each.tokens_per_second * each.step_seconds == pytest.approx(4 * 256) for each in found)


def test_a_pool_without_candidates_has_no_drafts():
    assert drafts(ask_of(min_accelerators=3)) == ()


def test_the_search_over_everything_says_the_same_of_the_trainers_own_plans():
    pool, remaining = offer_of("h100", "H100-80GB-SXM"), {Axis.COST: Decimal(5000)}
    sizes = {"sequence_length": 4096, "global_batch": 64, "pools": (pool,), "remaining": remaining}
    found = drafts(ask_of("llama-3.1-8b", min_accelerators=8, max_accelerators=8, **sizes))
    mine = {
        (each.strategy.precision, each.strategy.activation_checkpointing, each.strategy.micro_batch): each
        for each in found
        if (each.strategy.sharding, each.strategy.grouping) == ("FullShard", "PerLayer")
    }
    fixed = {
        "devices": ("8",), "sharding": ("FullShard",), "checkpointing": ("None", "Full"), "optimizer": ("AdamW",),
        "precision": ("bfloat16", "float32"), "tp": ("1",), "pp": ("1",), "cp": ("1",), "adapter": ("None",),
        "compile": ("false",), "offload": ("false",),
    }  # fmt: skip
    model = architecture_from_config(preset("llama-3.1-8b"))
    choices = explore(SpaceQuestion("llama-3.1-8b", model, fixed=fixed, **sizes)).choices
    assert choices
    for choice in choices:
        layout = choice.layout
        own = mine[(layout.precision, layout.checkpointing, layout.micro_batch)]
        assert choice.safe == pytest.approx(own.memory.safe_bytes, rel=1e-9)
        assert choice.step_seconds.value == pytest.approx(own.step_seconds, rel=1e-9)
