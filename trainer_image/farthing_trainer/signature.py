"""The execution signature: a resumed run is bit for bit the same only while this is unchanged (DESIGN 1, promise 3)."""

import platform
from pathlib import Path
from typing import Any

import torch

from farthing.contract.runconfig import RunConfig
from farthing_trainer.gang import Gang
from farthing_trainer.prepared import FORMAT_VERSION


def execution_signature(config: RunConfig, gang: Gang) -> dict[str, Any]:
    """Everything that may change the last bit of a step: who adds up what, in which order, in which type, on which silicon."""
    return {
        "world": gang.world,
        "localWorld": gang.place.local_world,
        "microBatch": config.batch.micro_batch,
        "accumulation": config.batch.accumulation,
        **config.strategy.model_dump(by_alias=True),
        "adapter": config.model.adapter,
        "torch": torch.__version__,
        "processor": processor_model(gang.device),
        "threads": torch.get_num_threads(),
        "packing": FORMAT_VERSION,
    }


def processor_model(device: torch.device) -> str:
    """The accelerator's name, or the CPU's model."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """`key: old → new` for every member that changed, sorted."""
    keys = sorted(old.keys() | new.keys())
    return [f"{key}: {old.get(key)} → {new.get(key)}" for key in keys if old.get(key) != new.get(key)]
