"""The model port in one process: what is recomputed, what the loss is, and that no sharding changes the first weights."""

import math

import pytest
import torch
from tests.support.trainer import TINY_LLAMA
from torch import nn

from farthing.contract.runconfig import LoraConfig, OptimizerConfig, StrategyConfig
from farthing_trainer.gang import Gang
from farthing_trainer.model import Model, arrange, build_model, give_memory
from farthing_trainer.optim import Optimizer
from farthing_trainer.place import place_from
from farthing_trainer.weights import fill, number_from, random_weights

CPU = torch.device("cpu")
ALONE = Gang(place_from({}), CPU)


def a_model(lora: LoraConfig | None = None, seed: int = 0, **strategy: object) -> Model:
    model = build_model(TINY_LLAMA, lora)
    arrange(model, StrategyConfig(**strategy), ALONE)
    give_memory(model, CPU)
    fill(model, random_weights(seed, 0.02))
    return model


def a_batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randint(0, 300, (2, 17), generator=generator)
    return rows[:, :-1], rows[:, 1:]


def loss_of(model: Model) -> float:
    return float(model(*a_batch()).detach())


def test_a_fresh_model_knows_nothing():
    assert loss_of(a_model()) == pytest.approx(math.log(300), abs=0.05)


def test_the_fused_loss_is_the_plain_one_and_so_are_its_gradients():
    model = a_model()
    tokens, targets = a_batch()
    fused = model(tokens, targets)
    fused.backward()
    got = model.head.grad.clone()
    model.zero_grad()
    logits = model.backbone(tokens) @ model.head.T
    plain = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    plain.backward()
    assert float(fused.detach()) == pytest.approx(float(plain.detach()), abs=1e-5)
    torch.testing.assert_close(got, model.head.grad, rtol=1e-4, atol=1e-6)


def test_weights_depend_on_name_and_seed_alone():
    one, same, other = a_model(), a_model(), a_model(seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.head, other.head)
    assert number_from(0, "lm_head.weight") == number_from("0", "lm_head.weight") != number_from(1, "lm_head.weight")


@pytest.mark.parametrize(("checkpointing", "forwards"), [("None", 2), ("Full", 4)])
def test_full_checkpointing_runs_every_block_twice(checkpointing: str, forwards: int):
    model = a_model(activation_checkpointing=checkpointing)
    ran: list[nn.Module] = []
    for block in model.blocks:
        block.mlp.register_forward_pre_hook(lambda module, _inputs: ran.append(module))
    model(*a_batch()).backward()
    assert len(ran) == forwards


def test_only_adapters_are_trained_and_they_start_silent():
    lora = LoraConfig(rank=4)
    model = a_model(lora)
    assert {name.split(".")[-3] for name in model.trainable()} == {"lora_A", "lora_B"}
    assert len(model.trainable()) == 2 * 4 * 2
    assert loss_of(model) == pytest.approx(loss_of(a_model()), abs=1e-6)


def test_clipping_scales_to_the_limit_and_vectors_do_not_decay():
    model = a_model()
    optimizer = Optimizer(model.trainable(), OptimizerConfig(learning_rate=1.0, max_gradient_norm=0.5, weight_decay=0.5), ALONE)
    norms = {name: p.detach().clone() for name, p in model.trainable().items()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(rate=0.1, norm=0.0)
    for name, parameter in model.trainable().items():
        factor = 1.0 if parameter.ndim == 1 else 1 - 0.1 * 0.5
        torch.testing.assert_close(parameter.detach(), norms[name] * factor, msg=name)
    model(*a_batch()).backward()
    norm = optimizer.squared_norm() ** 0.5
    assert norm > 0.5
    before = optimizer.state()["lm_head.weight.exp_avg"].clone()
    gradient = model.head.grad.clone()
    optimizer.step(rate=0.0, norm=norm)
    clipped = gradient * 0.5 / (norm + 1e-6)
    torch.testing.assert_close(optimizer.state()["lm_head.weight.exp_avg"], before * 0.9 + clipped * 0.1, rtol=1e-4, atol=1e-7)


def test_bfloat16_computes_narrow_and_keeps_weights_wide():
    model = a_model(precision="bfloat16")
    assert model.head.dtype == torch.float32
    assert loss_of(model) == pytest.approx(loss_of(a_model()), abs=0.05)
