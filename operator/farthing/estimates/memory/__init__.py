"""Peak memory of one device by phase and named term, for n configurations at once."""

from farthing.estimates.configuration import Configurations
from farthing.estimates.constants_memory import MemoryConstants
from farthing.estimates.memory.allocator import context_bytes, reserved_factor, safe_factor
from farthing.estimates.memory.phases import phases
from farthing.estimates.results import MemoryBreakdown

__all__ = ["estimate_memory"]


def estimate_memory(c: Configurations, constants: MemoryConstants | None = None) -> MemoryBreakdown:
    """Bytes of the device with the highest peak.

    The peak is the maximum over phases: loss (on the last pipeline stage), backward (on the first), end of backward, optimizer;
    on a CPU also load and save, which are 0 elsewhere.
    """
    k = constants or MemoryConstants()
    terms = phases(c, k)
    return MemoryBreakdown(terms, context_bytes(c, k), reserved_factor(c, terms, k), safe_factor(terms, k))
