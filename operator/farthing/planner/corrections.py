"""Measurements against formulas: what earlier attempts showed corrects what the formulas say of a draft.

The correcting itself is `learning`'s. Here a measurement becomes evidence, its prediction being what the formulas alone say of
that attempt; and the answer becomes tokens a second and bytes. Runs of the very plan decide alone; every other plan learns from
all runs on accelerators of its kind, for a CPU's formulas have nothing in common with a GPU's.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import exp, isclose, isfinite
from statistics import median

from farthing.api.job import StrategySpec
from farthing.catalog import accelerator
from farthing.contract.shape import SUPPORTED_MODEL_TYPES
from farthing.domain.plan import Allocation, MemoryEstimate, Prediction, Strategy
from farthing.domain.planning import Measurement, PlanRequest
from farthing.errors import UnknownAccelerator
from farthing.planner.drafts import Draft, drafts
from farthing.planner.evidence import MEMORY, THROUGHPUT, Evidence, Triple, refusal
from farthing.planner.learning import OUTLIER, Correction, Posterior, learn_all, repeated

UNEXPLAINED = "unexplained (measured)"
"""The memory term that a correction adds to every phase: what was measured and no formula has."""
UNNAMED = "an earlier attempt"
"""Origin of a measurement that does not tell its own."""

Key = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second of the gang, its spread, and where it comes from."""

    tokens_per_second: float
    sigma: float
    source: str


@dataclass(frozen=True, slots=True)
class Known:
    """One measurement beside the draft of its plan, where the request has that, and the evidence that can be drawn from it."""

    measurement: Measurement
    evidence: dict[str, Evidence]
    """By quantity."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds of a pool in which nothing is trained, as measured: a start, and a save."""

    startup: float | None
    checkpoint: float | None


class Corrections:
    """What the request's measurements say about its candidates. `family` is the model family that these are of."""

    def __init__(
        self, measurements: Sequence[Measurement], candidates: Iterable[Draft], family: str = SUPPORTED_MODEL_TYPES[0]
    ) -> None:
        self._family = family
        by_key = {draft.key: draft for draft in candidates}
        self._known = [self._read(each, _draft_of(each, by_key)) for each in measurements]
        self._of_plan: defaultdict[Key, list[Known]] = defaultdict(list)
        for each in self._known:
            self._of_plan[_key(each.measurement)].append(each)
        self._tried = self._best_tried(by_key)
        self._posterior = cache(self._fit)
        self._related = cache(self._from_kin)
        self._on_pool = cache(self._of_pool)

    def speed(self, draft: Draft) -> Speed:
        """What was measured with this very plan; else the formula, corrected by what other plans were measured to do."""
        correction, refused = self._correction(THROUGHPUT, draft, draft.sigma)
        correction = self._not_better_untried(correction, draft)
        formula = Prediction(draft.tokens_per_second, draft.sigma, "tokens/s", draft.speed_source)
        corrected = correction.apply(formula)
        return Speed(corrected.value, corrected.sigma, "; ".join([corrected.source, *refused]))

    def memory(self, draft: Draft) -> MemoryEstimate:
        """The formulas plus what they missed, as a term of its own: in both directions for this very plan; from other plans
        only upwards, for what they used less this one may need."""
        correction, _ = self._correction(MEMORY, draft, None)
        factor = correction.factor if correction.same_plan else max(1.0, correction.factor)
        return draft.memory if factor == 1.0 else _with_unexplained(draft.memory, (factor - 1.0) * draft.memory.expected_bytes)

    def checkpoint_seconds(self, draft: Draft) -> float | None:
        """Median of the saves measured on the pool, or None."""
        return self._on_pool(draft.offer.name, draft.offer.accelerator.name).checkpoint

    def startup_seconds(self, draft: Draft) -> float | None:
        """Median of the starts measured on the pool, or None."""
        return self._on_pool(draft.offer.name, draft.offer.accelerator.name).startup

    def _correction(self, quantity: str, draft: Draft, prior: float | None) -> tuple[Correction, list[str]]:
        """The correction of a draft's estimate, and what of its own measurements was refused, in words."""
        faults = {run: refusal(run) for run in self._own(quantity, draft)}
        believed = [run for run, fault in faults.items() if not fault]
        refused = [f"not learnt from {run.origin}: {fault}" for run, fault in faults.items() if fault]
        if believed:
            return repeated(believed, prior), refused
        triple = Triple(self._family, strategy_name(draft.strategy.signature), draft.offer.accelerator.name)
        return self._related(quantity, triple, prior), refused

    def _not_better_untried(self, correction: Correction, draft: Draft) -> Correction:
        """An untried plan is taken to keep no more of its estimate than the best one tried with this gang on this pool.

        Else a plan that fell short would lose to its nearest neighbour for no reason but that nobody ever ran that one. What
        fell short beyond belief holds nobody back.
        """
        if correction.same_plan:
            return correction
        best = self._tried.get(draft.key[:2], correction.factor)
        plausible = exp(-OUTLIER * correction.prior_sigma)
        return replace(correction, factor=min(correction.factor, max(best, plausible)))

    def _best_tried(self, drafts_by_key: Mapping[Key, Draft]) -> dict[tuple[str, int], float]:
        """By pool and gang: the highest measured ÷ predicted speed of the plans that were run there."""
        best: dict[tuple[str, int], float] = {}
        for draft in (drafts_by_key[key] for key in self._of_plan if key in drafts_by_key):
            believed = [run for run in self._own(THROUGHPUT, draft) if not refusal(run)]
            if believed:
                best[draft.key[:2]] = max(repeated(believed).factor, best.get(draft.key[:2], 0.0))
        return best

    def _own(self, quantity: str, draft: Draft) -> list[Evidence]:
        """The runs of the very plan of a draft."""
        return [known.evidence[quantity] for known in self._of_plan.get(draft.key, []) if self._same(known, draft, quantity)]

    def _same(self, known: Known, draft: Draft, quantity: str) -> bool:
        """Whether that was the draft's own plan: also of the same model, which its FLOPs a token tell."""
        same = _same_model(known.measurement, draft) and known.measurement.accelerator == draft.offer.accelerator.name
        return same and quantity in known.evidence

    def _from_kin(self, quantity: str, triple: Triple, prior: float | None) -> Correction:
        return self._posterior(quantity, _kind(triple.accelerator)).correction(triple, prior)

    def _fit(self, quantity: str, kind: str | None) -> Posterior:
        runs = (known.evidence[quantity] for known in self._known if quantity in known.evidence)
        learnt, _ = learn_all(run for run in runs if _kind(run.triple.accelerator) == kind)
        return learnt.posterior(quantity)

    def _read(self, measured: Measurement, draft: Draft | None) -> Known:
        """The evidence in a measurement: what it measured beside what the formulas say of its plan, where anybody knows."""
        triple = Triple(measured.family or self._family, strategy_name(measured.strategy), measured.accelerator)
        speed, sigma, memory = _said(measured, draft)
        rows = (
            (THROUGHPUT, measured.tokens_per_second, speed, "tokens/s", sigma),
            (MEMORY, measured.peak_memory_bytes, memory, "bytes", None),
        )
        evidence = {
            quantity: Evidence(quantity, triple, seen, said, unit, measured.origin or UNNAMED, measured.measured_at, stated)
            for quantity, seen, said, unit, stated in rows
            if seen is not None and said is not None
        }
        return Known(measured, evidence)

    def _of_pool(self, pool: str, accelerator_name: str) -> Pauses:
        known = (each.measurement for each in self._known)
        of_pool = [m for m in known if (m.pool, m.accelerator) == (pool, accelerator_name)]
        return Pauses(_median(m.startup_seconds for m in of_pool), _median(m.checkpoint_seconds for m in of_pool))


def formulas_alone(request: PlanRequest, allocation: Allocation, strategy: Strategy) -> Draft | None:
    """What the formulas say of one plan, whatever was measured; None where it is none of the request's candidates."""
    wanted = StrategySpec(
        sharding=strategy.sharding,
        grouping=strategy.grouping,
        precision=strategy.precision,
        activation_checkpointing=strategy.activation_checkpointing,
        micro_batch_size=strategy.micro_batch,
        deterministic=strategy.deterministic,
        compile=strategy.compile,
    )
    gang = allocation.accelerators
    narrow = replace(request, fixed=wanted, min_accelerators=gang, max_accelerators=gang, measurements=())
    return next((draft for draft in drafts(narrow) if draft.allocation == allocation and draft.strategy == strategy), None)


def strategy_name(signature: str) -> str:
    """The strategy of a correction: the signature without micro-batch and accumulation, whose effect the formulas have."""
    return "/".join(part for part in signature.split("/") if not part.startswith("mb="))


def _said(measured: Measurement, draft: Draft | None) -> tuple[float | None, float | None, float | None]:
    """What the formulas alone say of a measurement's plan, as it tells itself, else by the draft: speed, its sigma, peak."""
    if measured.predicted_tokens_per_second is None and draft is not None:
        return draft.tokens_per_second, draft.sigma, draft.memory.expected_bytes
    return measured.predicted_tokens_per_second, measured.predicted_sigma, measured.predicted_memory_bytes


def _draft_of(measured: Measurement, drafts_by_key: Mapping[Key, Draft]) -> Draft | None:
    found = drafts_by_key.get(_key(measured))
    return found if found is not None and _same_model(measured, found) else None


def _same_model(measured: Measurement, draft: Draft) -> bool:
    return measured.flops_per_token is None or isclose(measured.flops_per_token, draft.flops_per_token, rel_tol=1e-6)


def _kind(name: str) -> str | None:
    """`CPU` or `GPU`; None for a type that is no longer in the catalogue."""
    try:
        return accelerator(name).kind
    except UnknownAccelerator:
        return None


def _key(measurement: Measurement) -> Key:
    return (measurement.pool, measurement.accelerators, measurement.strategy)


def _median(values: Iterable[float | None]) -> float | None:
    """Of those that are finite and above 0; None without any."""
    found = [value for value in values if value is not None and isfinite(value) and value > 0]
    return median(found) if found else None


def _with_unexplained(memory: MemoryEstimate, unexplained: float) -> MemoryEstimate:
    terms = {phase: {**parts, UNEXPLAINED: unexplained} for phase, parts in memory.terms.items()}
    return replace(memory, terms=terms)
