"""Measurements against formulas: what earlier attempts showed replaces, or scales, what the formulas say of their pool."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import geometric_mean, mean

from farthing.domain.plan import MemoryEstimate
from farthing.domain.planning import Measurement
from farthing.planner import efficiency as eff
from farthing.planner.drafts import Draft

MEASURED_SIGMA = 0.05
"""Spread of a run's mean speed from attempt to attempt of one plan (assumed)."""
SCALED_SIGMA = 0.15
"""Spread where another plan on the same pool was measured: calibration carries over only in part."""

Value = Callable[[Measurement], float | None]


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second of the gang, its spread, and where it comes from."""

    tokens_per_second: float
    sigma: float
    source: str


class Corrections:
    """What the request's measurements say about its drafts."""

    def __init__(self, measurements: Sequence[Measurement], drafts: Iterable[Draft]) -> None:
        self._drafts = {draft.key: draft for draft in drafts}
        self._measurements = measurements

    def speed(self, draft: Draft) -> Speed:
        """Measured with this very plan; else the formula times the pool's mean ratio measured ÷ predicted; else the formula."""
        exact = _values(self._of_plan(draft), lambda m: m.tokens_per_second)
        if exact:
            return Speed(mean(exact), MEASURED_SIGMA, "measured with this plan")
        ratios = [
            m.tokens_per_second / self._drafts[_key(m)].tokens_per_second
            for m in self._of_pool(draft)
            if m.tokens_per_second and _key(m) in self._drafts
        ]
        if ratios:
            scaled = draft.tokens_per_second * geometric_mean(ratios)
            return Speed(scaled, SCALED_SIGMA, "formula, scaled by another plan's measurement on this pool")
        on_cpu = draft.offer.accelerator.kind == "CPU"
        source = "measured rate of the pool, size-dependent" if on_cpu else "roofline at the observed utilisation"
        return Speed(draft.tokens_per_second, eff.CPU_SIGMA if on_cpu else eff.GPU_SIGMA, source)

    def memory(self, draft: Draft) -> MemoryEstimate:
        """The formulas plus what they missed, as a term of its own: in both directions for this very plan; where another plan
        of the pool was measured, only upwards."""
        exact = _values(self._of_plan(draft), lambda m: m.peak_memory_bytes)
        if exact:
            return _with_unexplained(draft.memory, max(exact) - draft.memory.expected_bytes)
        missed = [
            m.peak_memory_bytes - self._drafts[_key(m)].memory.expected_bytes
            for m in self._of_pool(draft)
            if m.peak_memory_bytes and _key(m) in self._drafts
        ]
        return _with_unexplained(draft.memory, max(missed, default=0.0)) if max(missed, default=0.0) > 0 else draft.memory

    def checkpoint_seconds(self, draft: Draft) -> float | None:
        """Mean of the saves measured on the pool, or None."""
        return mean(_values(self._of_pool(draft), lambda m: m.checkpoint_seconds) or [0.0]) or None

    def startup_seconds(self, draft: Draft) -> float | None:
        """Mean of the starts measured on the pool, or None."""
        return mean(_values(self._of_pool(draft), lambda m: m.startup_seconds) or [0.0]) or None

    def _of_pool(self, draft: Draft) -> list[Measurement]:
        return [m for m in self._measurements if m.pool == draft.offer.name and m.accelerator == draft.offer.accelerator.name]

    def _of_plan(self, draft: Draft) -> list[Measurement]:
        return [m for m in self._of_pool(draft) if _key(m) == draft.key]


def _key(measurement: Measurement) -> tuple[str, int, str]:
    return (measurement.pool, measurement.accelerators, measurement.strategy)


def _values(measurements: Iterable[Measurement], value: Value) -> list[float]:
    return [found for m in measurements if (found := value(m)) is not None]


def _with_unexplained(memory: MemoryEstimate, unexplained: float) -> MemoryEstimate:
    terms = {phase: {**parts, "unexplained (measured)": unexplained} for phase, parts in memory.terms.items()}
    return replace(memory, terms=terms)
