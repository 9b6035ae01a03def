"""Which program runs a choice."""

from dataclasses import replace

import pytest
from tests.unit.planner.space.questions import question_of

from farthing.planner.space import explore
from farthing.planner.space.executors import executable_by

PLAIN = replace(
    explore(question_of(), top=1).choices[0].layout, precision="bfloat16", sharding="FullShard", dp=4, tp=1, pp=1, cp=1, ep=1,
    optimizer="AdamW", adapter="None", checkpointing="Full", offload=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "program"),
    [
        ({}, "farthing_trainer"), ({"precision": "float32", "sharding": "None"}, "farthing_trainer"),
        ({"adapter": "LoRA"}, "farthing_trainer"), ({"adapter": "DoRA"}, "transformers-peft"),
        ({"precision": "float16"}, "hf-trainer"), ({"precision": "float16", "tp": 2}, "torchtitan"),
        ({"optimizer": "galore_adamw"}, "hf-trainer"), ({"pp": 2, "vpp": 2}, "torchtitan"),
        ({"precision": "fp8"}, "torchtitan"), ({"tp": 2}, "torchtitan"),
        ({"optimizer": "AdamW8bit"}, "torchtitan"), ({"checkpointing": "SelectiveOp"}, "torchtitan"),
        ({"offload": True}, "torchtitan"),
        ({"adapter": "QLoRA"}, "transformers-peft"), ({"adapter": "LoRA", "tp": 2}, "megatron"),
        ({"sharding": "ZeRO2"}, "deepspeed"),
        ({"sharding": "None", "offload": True}, "deepspeed"), ({"sharding": "ZeRO1"}, "megatron"),
        ({"sharding": "None", "pp": 2}, "megatron"),
    ],
)  # fmt: skip
def test_the_program_that_runs_a_layout(changes, program):
    assert executable_by(question_of(), replace(PLAIN, **changes)) == program


def test_our_trainer_runs_models_of_the_llama_type_only():
    assert executable_by(question_of("qwen3-0.6b"), PLAIN) == "torchtitan"


def test_a_framework_that_was_asked_for_runs_its_own():
    assert executable_by(question_of(framework="axolotl"), PLAIN) == "hf-trainer"
    assert executable_by(question_of(framework="default"), PLAIN) == "torchtitan"
