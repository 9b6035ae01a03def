"""Between tensors and the device: fragmentation of the caching allocator, context, and the margin of admission."""

from collections.abc import Mapping

import numpy as np

from farthing.estimates.configuration import Configurations, Floats
from farthing.estimates.constants_memory import MemoryConstants
from farthing.estimates.memory.phases import freed_gradients
from farthing.estimates.results import Terms

ESTIMATED = ("loss", "backward", "end of backward")
"""Phases with terms that are estimated rather than counted."""
RESTING = ("parameters", "master weights", "optimizer states")
"""What stays from step to step."""


def totals(terms: Terms) -> dict[str, Floats]:
    """Bytes of each phase."""
    return {phase: total(named) for phase, named in terms.items()}


def total(named: Mapping[str, Floats]) -> Floats:
    """Sum of the terms."""
    return np.asarray(sum(named.values()), dtype=np.float64)


def resting_bytes(terms: Terms) -> Floats:
    """What stays from step to step."""
    return total({name: terms["optimizer"][name] for name in RESTING})


def reserved_factor(c: Configurations, terms: Terms, k: MemoryConstants) -> Floats:
    """reserved ÷ allocated: what comes and goes leaves fragments, and freed pieces of gradients stay. 1 on a CPU."""
    phases, resting = totals(terms), resting_bytes(terms)
    peak = np.max(list(phases.values()), axis=0)
    cached = np.maximum(phases["loss"], phases["backward"]) + freed_gradients(c)
    factor = np.where(c.variable_length > 0, k.reserved_variable, k.reserved_fixed)
    factor = np.where(c.expandable_segments > 0, 1.0, factor)
    reserved = resting + factor * (np.maximum(peak, cached) - resting)
    return np.where((c.is_cpu > 0) | (peak <= 0), 1.0, np.maximum(reserved, peak) / np.maximum(peak, 1.0))


def safe_factor(terms: Terms, k: MemoryConstants) -> Floats:
    """safe ÷ allocated: states and the optimizer's step are counted and need little margin, activations and buffers more."""
    phases, resting = totals(terms), resting_bytes(terms)
    peak = np.max(list(phases.values()), axis=0)
    estimated = np.maximum.reduce([phases[name] for name in ESTIMATED])
    safe = k.safe_states * resting + k.safe_active * np.maximum(estimated - resting, 0.0)
    return np.where(peak <= 0, 1.0, np.maximum(safe, k.safe_states * peak) / np.maximum(peak, 1.0))


def context_bytes(c: Configurations, k: MemoryConstants) -> Floats:
    """CUDA context and communication buffers; nothing on a CPU."""
    context = k.context_bytes + np.where(c.devices > 1, k.communication_bytes, 0.0)
    return np.where(c.is_cpu > 0, 0.0, context)
