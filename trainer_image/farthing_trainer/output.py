"""The finished model as a folder that AutoModelForCausalLM and AutoTokenizer load: safetensors, config, tokenizer.

Adapters are merged into the weights, and also lie in `adapter/` as peft writes them.
"""

import json
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor

from farthing.contract.runconfig import LoraConfig
from farthing_trainer.gang import Gang
from farthing_trainer.model import Model, canonical, peft_config
from farthing_trainer.prepared import TOKENIZER_FOLDER
from farthing_trainer.storage import Folder
from farthing_trainer.tokenizer import FOLDER_FILES
from farthing_trainer.weights import WEIGHTS_FILE, plain_name

ADAPTER_FOLDER = "adapter"
_METADATA = {"format": "pt"}
"""transformers refuses safetensors without it."""


def write_output(uri: str, model: Model, lora: LoraConfig | None, product: Folder, gang: Gang) -> None:
    """Gather the weights and write the folder; `config.json` last, so that a folder that loads is whole. All ranks call it."""
    weights = _full_weights(model, gang)
    if not gang.is_first:
        return
    folder = Folder(uri, "outputUri")
    folder.make()
    with tempfile.TemporaryDirectory() as scratch:
        if lora is not None:
            _write_adapter(folder / ADAPTER_FOLDER, weights, lora, Path(scratch))
        _put_weights(folder, WEIGHTS_FILE, _merged(weights, lora), Path(scratch))
    for name in FOLDER_FILES:
        folder.write(name, (product / TOKENIZER_FOLDER).read(name))
    folder.write("config.json", _config_text(model).encode())


def _full_weights(model: Model, gang: Gang) -> dict[str, torch.Tensor]:
    """Every parameter whole, on rank 0's CPU; one at a time, so that no accelerator holds them all."""
    weights = {}
    for name, parameter in model.named_parameters():
        value = parameter.detach()
        whole = value.full_tensor() if isinstance(value, DTensor) else value
        if gang.is_first:
            weights[canonical(name)] = whole.cpu().clone()
    return weights


def _merged(weights: dict[str, torch.Tensor], lora: LoraConfig | None) -> dict[str, torch.Tensor]:
    """W + (α/r)·B·A where there are adapters; names as in transformers' plain model."""
    merged = {}
    for name, value in weights.items():
        if ".lora_" in name:
            continue
        if name.endswith(".base_layer.weight") and lora is not None:
            a, b = (weights[name.replace("base_layer", f"lora_{side}.default")] for side in "AB")
            value = value + lora.alpha / lora.rank * (b @ a)
        merged[plain_name(name)] = value
    return merged


def _write_adapter(folder: Folder, weights: dict[str, torch.Tensor], lora: LoraConfig, scratch: Path) -> None:
    from peft import LoraConfig as PeftLoraConfig

    folder.make()
    named = {f"base_model.model.{name.replace('.default', '')}": value for name, value in weights.items() if ".lora_" in name}
    _put_weights(folder, "adapter_model.safetensors", named, scratch)
    peft_config(PeftLoraConfig, lora).save_pretrained(str(scratch))
    folder.put(scratch / "adapter_config.json", "adapter_config.json")


def _put_weights(folder: Folder, name: str, weights: dict[str, torch.Tensor], scratch: Path) -> None:
    save_file({key: value.contiguous() for key, value in weights.items()}, scratch / name, metadata=_METADATA)
    folder.put(scratch / name, name)


def _config_text(model: Model) -> str:
    config = model.core.config.to_dict()
    config.update(architectures=["LlamaForCausalLM"], dtype="float32")
    return json.dumps(config, indent=2, sort_keys=True)
