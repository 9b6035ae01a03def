"""AdamW with decoupled weight decay (arXiv:1711.05101), clipping of the global norm, and both as state by parameter name."""

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor

from farthing.contract.runconfig import OptimizerConfig
from farthing_trainer.gang import Gang

MOMENTS = ("exp_avg", "exp_avg_sq")
_NORM_EPSILON = 1e-6
"""Keeps the clipping factor finite; torch.nn.utils.clip_grad_norm_ uses the same."""


class Optimizer:
    """AdamW over named parameters: matrices decay, vectors (norms) do not."""

    def __init__(self, parameters: dict[str, nn.Parameter], config: OptimizerConfig, gang: Gang) -> None:
        self._parameters = parameters
        self._config = config
        self._gang = gang
        matrices = [p for p in parameters.values() if p.ndim >= 2]
        vectors = [p for p in parameters.values() if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self._adamw = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            eps=config.epsilon,
            fused=True,
        )
        for parameter in parameters.values():
            self._adamw.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                **{moment: torch.zeros_like(parameter, memory_format=torch.preserve_format) for moment in MOMENTS},
            }

    def state(self) -> dict[str, torch.Tensor]:
        """The live tensors by name, for saving and for loading in place."""
        return {
            f"{name}.{key}": self._adamw.state[parameter][key]
            for name, parameter in self._parameters.items()
            for key in ("step", *MOMENTS)
        }

    def reduce_gradients(self) -> None:
        """Average the gradients of unsharded parameters over the gang, in one collective."""
        if self._gang.world == 1:
            return
        gradients = self._local_gradients()
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self._gang.world
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def squared_norm(self) -> float:
        """Sum of squares of the gradient elements that this rank holds."""
        return float(torch.nn.utils.get_total_norm(self._local_gradients())) ** 2

    def step(self, rate: float, norm: float) -> None:
        """Clip to the global `norm`, make one AdamW step at `rate`, and drop the gradients."""
        scale = self._config.max_gradient_norm / (norm + _NORM_EPSILON)
        if scale < 1.0:
            for gradient in self._local_gradients():
                gradient.mul_(scale)
        for group in self._adamw.param_groups:
            group["lr"] = rate
        self._adamw.step()
        self._adamw.zero_grad(set_to_none=True)

    def drop_gradients(self) -> None:
        """Forget the gradients of an abandoned step."""
        self._adamw.zero_grad(set_to_none=True)

    def _local_gradients(self) -> list[torch.Tensor]:
        gradients = [p.grad for p in self._parameters.values() if p.grad is not None]
        return [g.to_local() if isinstance(g, DTensor) else g for g in gradients]
