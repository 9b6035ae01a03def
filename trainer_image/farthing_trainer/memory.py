"""How much memory this process uses, at peak, and may use."""

from dataclasses import dataclass
from pathlib import Path

import torch

from farthing.units import KIB
from farthing_trainer.oom import memory_limit

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes: in use, reserved by the allocator, at peak. On a CPU the resident set, reserved equal to allocated."""

    allocated: int
    reserved: int
    peak: int


def memory_usage(device: torch.device) -> Usage:
    """Now."""
    if device.type == "cuda":
        return Usage(
            torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device), torch.cuda.max_memory_allocated(device)
        )
    fields = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="utf-8").splitlines() if ":" in line)
    resident, peak = (int(fields[key].split()[0]) * KIB for key in ("VmRSS", "VmHWM"))
    return Usage(resident, resident, peak)


def process_limit(device: torch.device, pod_limit: int | None, local_world: int) -> int | None:
    """Bytes that this process may use: the device's size, or its share of the pod's limit."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    limit = pod_limit if pod_limit is not None else memory_limit()
    return None if limit is None else limit // local_world


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out: CUDA's own, Python's, or the CPU allocator's RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
