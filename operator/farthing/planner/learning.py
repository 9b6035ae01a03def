"""What measured runs teach the estimates: a small Bayesian update of ln(measured ÷ predicted), pooled over related runs.

The log-ratio of a run of (model family, strategy, accelerator) is taken as a sum of independent normal parts: one common to
all runs, one each of its family, its strategy and its accelerator, one of exactly this triple, and noise of the single run. The
parts' variances are PARTS of the square of the estimate's own sigma, so a prior says no more than the estimate did. All parts
together are one Gaussian process over triples: two runs covary by the parts they share, and a triple never measured still
learns from its kin. The posterior is exact linear algebra over the runs at hand (a few hundred at most, KEPT per triple).

A measurement can be wrong. One that is no positive finite number, or off by more than REFUSED, is refused with its reason. One
that disagrees with what all others say by more than OUTLIER deviations has its noise widened until it disagrees by just that
much: what it can move is bounded and falls the farther off it is, while runs that agree with one another keep their weight.

One measured value of throughput, for which a run was known to ± 21 % before: afterwards ± 7 % for the same triple, ± 18 % for
another strategy of the family on the same accelerator, ± 19 % for another family and strategy on it, ± 20 % on another one
for the same strategy alone.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import exp, isfinite, log, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from farthing.domain.plan import Prediction
from farthing.errors import InvalidSpec

THROUGHPUT: Final = "throughput"
MEMORY: Final = "memory"
PRIOR_SIGMA: Final = {THROUGHPUT: 0.20, MEMORY: 0.10}
"""Relative deviation of the estimates before anything was measured; the caller passes the estimate's own where it has one."""
NOISE_SIGMA: Final = {THROUGHPUT: 0.05, MEMORY: 0.02}
"""Relative deviation between runs of the same plan (assumed; shared machines and warm caches for throughput, the allocator's
rounding for memory)."""
PARTS: Final = {"common": 0.10, "family": 0.15, "strategy": 0.15, "accelerator": 0.30, "triple": 0.30}
"""Shares of the prior's variance (assumed): an accelerator's efficiency is what datasheets tell least of; they add up to 1."""
REFUSED: Final = 10.0
"""Ratio measured ÷ predicted, either way, beyond which a mistake of units or of the meter is likelier than such an error."""
OUTLIER: Final = 2.5
"""Deviations by which a run may disagree with what the others predict before it loses weight."""
KEPT: Final = 8
"""Newest measurements kept per quantity and triple; eight leave a third of the noise, and no run can crowd out the others."""
_VERSION = 1


@dataclass(frozen=True, slots=True, order=True)
class Triple:
    """What a correction is for."""

    family: str
    """Model family, such as `llama`."""
    strategy: str
    """How the step is executed: the strategy's signature, or a coarser name of it."""
    accelerator: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measured run beside its prediction, with where it comes from."""

    quantity: str
    """THROUGHPUT or MEMORY."""
    triple: Triple
    measured: float
    predicted: float
    """By the formulas alone, in the same unit as `measured`: never an already corrected number."""
    unit: str
    origin: str
    """Job, attempt and image that measured it; one origin counts once per quantity and triple."""
    measured_at: str
    """RFC 3339 time, as given."""

    @property
    def log_ratio(self) -> float:
        """ln(measured ÷ predicted)."""
        return log(self.measured / self.predicted)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A measurement that was not learnt from, and why."""

    evidence: Evidence
    reason: str


@dataclass(frozen=True, slots=True)
class Correction:
    """What to multiply an estimate by, and how sure that is."""

    quantity: str
    triple: Triple
    factor: float
    """Median of measured ÷ predicted."""
    sigma: float
    """Deviation of the logarithm for the next run: what is unknown of the ratio, and the noise of a run."""
    prior_sigma: float
    """The same before any measurement."""
    exact: int
    """Runs of this very triple behind it."""
    related: int
    """Runs of other triples behind it, each to the extent of what it shares."""
    origins: tuple[str, ...]
    """Of the runs of this triple, else of those that share its family, strategy or accelerator, else of all; newest first."""

    def __str__(self) -> str:
        what = f"{self.exact} measured" if self.exact else f"{self.related} related" if self.related else "nothing measured"
        return f"{self.quantity} × {self.factor:.3f} ± {self.sigma:.0%} ({what}; ± {self.prior_sigma:.0%} before)"

    def apply(self, estimate: Prediction) -> Prediction:
        """The estimate corrected, with its origin told; unchanged where nothing was measured."""
        if not self.exact and not self.related:
            return estimate
        source = f"{estimate.source}; {self} from {', '.join(self.origins)}"
        return Prediction(estimate.value * self.factor, self.sigma, estimate.unit, source)


@dataclass(frozen=True, slots=True)
class Learning:
    """All evidence, oldest first. Immutable: `learn` gives the next state."""

    evidence: tuple[Evidence, ...] = ()

    def learn(self, new: Evidence) -> tuple["Learning", Refusal | None]:
        """With `new` added, or the same with the reason of its refusal. A later value of the same origin replaces the first."""
        if reason := refusal(new):
            return self, Refusal(new, reason)
        kept = [e for e in self.evidence if not (_same(e, new) and e.origin == new.origin)]
        mine = [e for e in kept if _same(e, new)]
        for oldest in mine[: max(0, len(mine) - KEPT + 1)]:
            kept.remove(oldest)
        return replace(self, evidence=(*kept, new)), None

    def correction(self, quantity: str, triple: Triple, prior_sigma: float | None = None) -> Correction:
        """Of that quantity for that triple; `prior_sigma` is the estimate's own where it states one.

        Raises InvalidSpec for an unknown quantity or a prior that is no finite number above 0.
        """
        prior = _prior(quantity, prior_sigma)
        runs = [e for e in self.evidence if e.quantity == quantity]
        noise = NOISE_SIGMA[quantity]
        mean, variance = _posterior(triple, runs, prior, noise)
        exact = [e for e in runs if e.triple == triple]
        others = [e for e in runs if e.triple != triple]
        kin = [e for e in others if _kin(e.triple, triple)]
        named = tuple(dict.fromkeys(e.origin for e in reversed(exact or kin or others)))
        before, after = sqrt(prior**2 + noise**2), sqrt(variance + noise**2)
        return Correction(quantity, triple, exp(mean), after, before, len(exact), len(others), named)

    def to_json(self) -> str:
        """Every measurement with its provenance, in a form that `from_json` reads back equal."""
        return json.dumps({"version": _VERSION, "evidence": [asdict(e) for e in self.evidence]}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Learning":
        """What `to_json` wrote. Raises InvalidSpec for other text, and for evidence that `learn` would refuse."""
        try:
            stored = json.loads(text)
            evidence = tuple(_evidence(entry) for entry in stored["evidence"])
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidSpec("learning", text[:80], f"it is not what was stored: {error}") from error
        if stored.get("version") != _VERSION:
            raise InvalidSpec("learning.version", stored.get("version"), f"this release reads version {_VERSION}")
        for entry in evidence:
            if reason := refusal(entry):
                raise InvalidSpec("learning.evidence", entry.origin, reason)
        return cls(evidence)


def learn_all(evidence: Iterable[Evidence]) -> tuple[Learning, tuple[Refusal, ...]]:
    """From nothing to what all of `evidence` teaches, in its order, with what was refused."""
    state, refused = Learning(), []
    for entry in evidence:
        state, fault = state.learn(entry)
        refused.extend([fault] if fault else [])
    return state, tuple(refused)


def refusal(evidence: Evidence) -> str:
    """Why a measurement cannot be learnt from; empty where it can."""
    if evidence.quantity not in PRIOR_SIGMA:
        return f"quantity {evidence.quantity!r} is not one of {', '.join(sorted(PRIOR_SIGMA))}"
    for name in ("measured", "predicted"):
        value = getattr(evidence, name)
        if not isfinite(value) or value <= 0:
            return f"{name} {evidence.quantity} of {value} {evidence.unit} is no finite number above 0"
    ratio = evidence.log_ratio
    if abs(ratio) > log(REFUSED):
        return f"measured {evidence.measured:.4g} {evidence.unit} is {exp(ratio):.4g} times the prediction: beyond {REFUSED:g}"
    return ""


def _posterior(triple: Triple, runs: Sequence[Evidence], prior: float, noise: float) -> tuple[float, float]:
    """Mean and variance of the log-ratio of `triple`, the single run's noise left out."""
    if not runs:
        return 0.0, prior**2
    triples = [run.triple for run in runs]
    shared = prior**2 * _shares(triples, triples)
    towards = prior**2 * _shares([triple], triples)[0]
    ratios = np.array([run.log_ratio for run in runs])
    covariance = shared + np.diag(_robust_noise(shared, ratios, noise))
    gain = np.linalg.solve(covariance, towards)
    return float(gain @ ratios), max(0.0, float(prior**2 - gain @ towards))


def _robust_noise(shared: NDArray[np.float64], ratios: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """Noise variance of each run, widened where the others contradict it by more than OUTLIER deviations.

    The others' prediction for run i is the leave-one-out one, r_i − [K⁻¹r]_i / [K⁻¹]_ii with variance 1/[K⁻¹]_ii, i's own noise
    included. Runs are widened one at a time, the worst first, for a wrong one makes its neighbours look wrong.
    """
    variances = np.full(len(ratios), noise**2)
    inverse = np.linalg.inv(shared + np.diag(variances))
    for _ in range(len(ratios)):
        spread = 1.0 / np.diag(inverse)
        residuals = (inverse @ ratios) * spread
        scores = residuals**2 / spread
        worst = int(np.argmax(scores))
        if scores[worst] <= OUTLIER**2 * (1.0 + 1e-9):
            break
        wider = residuals[worst] ** 2 / OUTLIER**2 - spread[worst]
        variances[worst] += wider
        column = inverse[:, worst]
        inverse = inverse - np.outer(column, column) * (wider / (1.0 + wider * inverse[worst, worst]))  # Sherman–Morrison
    return variances


def _shares(ones: Sequence[Triple], others: Sequence[Triple]) -> NDArray[np.float64]:
    """Share of the prior variance that each of `ones` (rows) has in common with each of `others` (columns)."""
    equal = {
        part: np.equal.outer([getattr(t, part) for t in ones], [getattr(t, part) for t in others])
        for part in ("family", "strategy", "accelerator")
    }
    total = PARTS["common"] + sum(PARTS[part] * same.astype(np.float64) for part, same in equal.items())
    alike = equal["family"] & equal["strategy"] & equal["accelerator"]
    return np.asarray(total + PARTS["triple"] * alike, dtype=np.float64)


def _kin(one: Triple, other: Triple) -> bool:
    return one.family == other.family or one.strategy == other.strategy or one.accelerator == other.accelerator


def _same(one: Evidence, other: Evidence) -> bool:
    return one.quantity == other.quantity and one.triple == other.triple


def _prior(quantity: str, given: float | None) -> float:
    if quantity not in PRIOR_SIGMA:
        raise InvalidSpec("quantity", quantity, f"use one of {', '.join(sorted(PRIOR_SIGMA))}")
    prior = PRIOR_SIGMA[quantity] if given is None else given
    if not (isfinite(prior) and prior > 0):
        raise InvalidSpec("prior_sigma", prior, "give a finite number above 0")
    return prior


def _evidence(entry: Mapping[str, Any]) -> Evidence:
    return Evidence(
        quantity=str(entry["quantity"]),
        triple=Triple(**{name: str(entry["triple"][name]) for name in ("family", "strategy", "accelerator")}),
        measured=float(entry["measured"]),
        predicted=float(entry["predicted"]),
        unit=str(entry["unit"]),
        origin=str(entry["origin"]),
        measured_at=str(entry["measured_at"]),
    )
