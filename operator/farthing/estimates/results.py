"""What the estimators say of n configurations."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from farthing.estimates.configuration import Floats

Terms = Mapping[str, Mapping[str, Floats]]
"""Bytes, or seconds, by phase and named term."""


@dataclass(frozen=True, slots=True)
class MemoryBreakdown:
    """Bytes of one device (of the rank with the highest peak). The peak is the maximum over phases, never a plain sum."""

    terms: Terms
    """`terms[phase][name]`; a term absent from a phase is nothing there."""
    context: Floats
    """Outside the caching allocator: CUDA context, NCCL channels; on a CPU the runtime without its model."""
    reserved_factor: Floats
    """reserved ÷ allocated that the allocator is expected to reach."""
    safe_factor: Floats
    """safe ÷ allocated: what admission multiplies by before it adds the context."""

    @property
    def allocated(self) -> Floats:
        """Peak of tensors alive: the largest phase."""
        sums = [sum(phase.values(), start=np.zeros_like(self.context)) for phase in self.terms.values()]
        return np.asarray(np.max(sums, axis=0), dtype=np.float64)

    @property
    def reserved(self) -> Floats:
        """Held by the caching allocator at the peak."""
        return self.allocated * self.reserved_factor

    @property
    def used(self) -> Floats:
        """What the driver reports of the process: reserved + context."""
        return self.reserved + self.context

    @property
    def safe(self) -> Floats:
        """Compared with the device's memory: a plan is admitted where this is no larger."""
        return self.allocated * self.safe_factor + self.context


@dataclass(frozen=True, slots=True)
class TimeBreakdown:
    """Seconds of one optimizer step by named term, all exposed: their sum is what the step takes."""

    terms: Mapping[str, Floats]
    tokens_per_step: Floats
    """Of the whole job."""
    devices: Floats
    sigma: Floats
    """Relative standard deviation of the logarithm; wider where no measured rows stand behind it."""

    @property
    def step_seconds(self) -> Floats:
        """Seconds of one optimizer step."""
        return sum(self.terms.values(), start=np.zeros_like(self.devices))

    @property
    def tokens_per_second_per_device(self) -> Floats:
        """Throughput of one device."""
        return self.tokens_per_step / self.step_seconds / self.devices
