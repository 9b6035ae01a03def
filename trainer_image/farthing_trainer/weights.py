"""Where the first weights come from: random numbers that no sharding changes, or a folder of safetensors."""

import hashlib
import json
import math
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch.distributed.tensor import DTensor, distribute_tensor

from farthing_trainer.errors import BadInput
from farthing_trainer.model import Model, canonical
from farthing_trainer.storage import Folder

INDEX_FILE = "model.safetensors.index.json"
WEIGHTS_FILE = "model.safetensors"
Source = Callable[[str, torch.Size], torch.Tensor]


def number_from(*parts: object) -> int:
    """A seed of 63 bits from anything: the same parts give the same seed on every machine."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def plain_name(name: str) -> str:
    """A parameter's name in the model without adapters."""
    return name.replace(".base_layer.", ".")


def random_weights(seed: int, deviation: float) -> Source:
    """Fresh weights by name: ones for norms, zeros for what starts silent, normal or Kaiming numbers for the rest.

    Each parameter has a generator of its own, seeded by its name, so neither the world size nor the sharding changes a bit.
    """

    def value(name: str, shape: torch.Size) -> torch.Tensor:
        generator = torch.Generator().manual_seed(number_from(seed, plain_name(name)))
        if "norm" in name:
            return torch.ones(shape)
        if "lora_B" in name or name.endswith(".bias"):
            return torch.zeros(shape)
        if "lora_A" in name:  # uniform in ±1/√fan_in: Kaiming's with a = √5, as in the LoRA paper's code
            bound = 1 / math.sqrt(shape[1])
            return torch.empty(shape).uniform_(-bound, bound, generator=generator)
        return torch.empty(shape).normal_(0.0, deviation, generator=generator)

    return value


def fill(model: Model, source: Source) -> None:
    """Copy each rank's part of every parameter from its full value. No communication."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            value = source(canonical(name), parameter.shape).to(parameter.device, parameter.dtype)
            if isinstance(parameter, DTensor):
                value = distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)
            parameter.copy_(value)


class PretrainedFolder:
    """A folder as `save_pretrained` writes it: config.json and safetensors. Copied below `scratch` where it is not local."""

    def __init__(self, uri: str, scratch: Path) -> None:
        self._folder = Folder(uri, "model.pretrainedUri")
        self._scratch = scratch
        self.config: dict[str, Any] = json.loads(self._read("config.json"))

    def _read(self, name: str) -> bytes:
        try:
            return self._folder.read(name)
        except OSError as error:
            remedy = f"{name} cannot be read ({error}); give a folder with config.json and safetensors"
            raise BadInput("model.pretrainedUri", self._folder.uri, remedy) from error

    def load(self, model: Model, otherwise: Source) -> None:
        """Fill the model; names that the folder cannot have (new adapters) come from `otherwise`. Raises BadInput."""
        with ExitStack() as stack:
            handles = {name: stack.enter_context(safe_open(path, "pt")) for name, path in self._files().items()}
            where = {key: handle for handle in handles.values() for key in handle.keys()}  # noqa: SIM118 - no mapping

            def value(name: str, shape: torch.Size) -> torch.Tensor:
                if "lora_" in name:
                    return otherwise(name, shape)
                plain = plain_name(name)
                if plain not in where or list(where[plain].get_slice(plain).get_shape()) != list(shape):
                    remedy = f"it has no {plain} of shape {tuple(shape)}; it must hold the whole model of its config.json"
                    raise BadInput("model.pretrainedUri", self._folder.uri, remedy)
                return where[plain].get_tensor(plain)  # type: ignore[no-any-return]

            fill(model, value)

    def _files(self) -> dict[str, Path]:
        names = {WEIGHTS_FILE}
        if self._folder.exists(INDEX_FILE):
            names = set(json.loads(self._read(INDEX_FILE))["weight_map"].values())
        try:
            return {name: self._folder.fetch(name, self._scratch) for name in sorted(names)}
        except (OSError, SafetensorError) as error:
            raise BadInput("model.pretrainedUri", self._folder.uri, f"its weights cannot be read ({error})") from error
