"""What measured runs teach the estimates: a small Bayesian update of ln(measured ÷ predicted), pooled over related runs.

The log-ratio of a run of (model family, strategy, accelerator) is taken as a sum of independent normal parts: one common to
all runs, one each of its family, its strategy and its accelerator, one of exactly this triple, and noise of the single run. The
parts' variances are PARTS of what the estimate's own sigma leaves beside that noise, so a prior says no more than the estimate
did. All parts together are one Gaussian process over triples: two runs covary by the parts they share, and a triple never
measured still learns from its kin. The posterior is exact linear algebra over the runs at hand (a few hundred at most, KEPT per
triple).

A measurement can be wrong. One that is no positive finite number, or off by more than REFUSED, is refused with its reason. One
that disagrees with what all others say by more than OUTLIER deviations has its noise widened until it disagrees by just that
much: what it can move is bounded and falls the farther off it is, while runs that agree with one another keep their weight.

What exactly this plan was measured to do is not guessed from its kin: `repeated` takes the runs of that plan alone.

One measured value of throughput, for which a run was known to ± 20 % before: afterwards ± 7 % for the very plan and others of
the same triple, ± 16 % for another strategy of the family on the same accelerator, ± 17 % for another family and strategy on it
and for the same strategy of another family on another one, ± 19 % for what shares nothing but the site.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from math import exp, sqrt
from statistics import median, median_high
from typing import Final

import numpy as np
from numpy.typing import NDArray

from farthing.domain.plan import Prediction
from farthing.errors import InvalidSpec
from farthing.planner.evidence import (
    MEMORY,
    NOISE_SIGMA,
    PRIOR_SIGMA,
    Evidence,
    Refusal,
    Triple,
    evidence_of,
    prior_of,
    refusal,
    shareable,
)

PARTS: Final = {"common": 0.35, "family": 0.05, "strategy": 0.20, "accelerator": 0.25, "triple": 0.15}
"""Shares of the other part's variance where an estimate is as sure as PRIOR_SIGMA; they add up to 1. From the log-ratios of
1,840 measured throughputs and 483 peaks to estimates fitted without their source: of the variance, runs of one source share 0.6
on one accelerator, 0.65 with the family in common, 0.75 with the strategy, and 0.4-0.7 across accelerators. `common` is the
site: its software, its network and how it measures."""
OUTLIER: Final = 2.5
"""Deviations by which a run may disagree with what the others predict before it loses weight."""
KEPT: Final = 8
"""Newest measurements kept per quantity and triple; eight leave a third of the noise, and no run can crowd out the others."""
SHOWN_ORIGINS: Final = 3
"""Origins that a correction names in words; the others are counted."""
_VERSION = 1


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
    same_plan: bool = False
    """Whether the runs behind it are of the very plan that is estimated."""

    def __str__(self) -> str:
        what = f"{self.exact} measured" if self.exact else f"{self.related} related" if self.related else "nothing measured"
        which = " with this plan" if self.same_plan else ""
        return f"{self.quantity} × {self.factor:.2f} ± {self.sigma:.0%} ({what}{which}; ± {self.prior_sigma:.0%} before)"

    @property
    def provenance(self) -> str:
        """The correction in words with the newest origins of it: `throughput × 0.83 ± 7% (1 measured …) from …`."""
        more = len(self.origins) - SHOWN_ORIGINS
        rest = f" and {more} more" if more > 0 else ""
        return f"{self} from {', '.join(self.origins[:SHOWN_ORIGINS])}{rest}"

    def apply(self, estimate: Prediction) -> Prediction:
        """The estimate corrected, with its origin told; unchanged where nothing was measured."""
        if not self.exact and not self.related:
            return estimate
        return Prediction(estimate.value * self.factor, self.sigma, estimate.unit, f"{estimate.source}; {self.provenance}")


@dataclass(frozen=True, slots=True)
class Posterior:
    """What all runs say of one quantity: solved once, then asked for any triple."""

    quantity: str
    runs: tuple[Evidence, ...]
    precision: NDArray[np.float64]
    """Inverse of the runs' covariance, noise included."""
    weights: NDArray[np.float64]
    """That inverse times the log-ratios."""

    def correction(self, triple: Triple, prior_sigma: float | None = None) -> Correction:
        """For that triple, measured or not. Raises as `Learning.correction`."""
        prior = shareable(self.quantity, prior_of(self.quantity, prior_sigma))
        exact = [e for e in self.runs if e.triple == triple]
        others = [e for e in self.runs if e.triple != triple]
        kin = [e for e in others if _kin(e.triple, triple)]
        named = tuple(dict.fromkeys(e.origin for e in reversed(exact or kin or others)))
        mean, variance = self._of(triple, prior)
        before, after = (sqrt(v + NOISE_SIGMA[self.quantity] ** 2) for v in (prior**2, variance))
        return Correction(self.quantity, triple, exp(mean), after, before, len(exact), len(others), named)

    def _of(self, triple: Triple, prior: float) -> tuple[float, float]:
        """Mean and variance of the log-ratio, the single run's noise left out."""
        if not self.runs:
            return 0.0, prior**2
        deviations = _deviations(self.runs)
        towards = _shared(self.quantity, [triple], [prior], [run.triple for run in self.runs], deviations)[0]
        variance = prior**2 - towards @ self.precision @ towards
        return float(towards @ self.weights), max(0.0, float(variance))


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
        return self.posterior(quantity).correction(triple, prior_sigma)

    def posterior(self, quantity: str) -> Posterior:
        """The same for many triples: the runs are weighed against one another only here. Raises InvalidSpec."""
        prior_of(quantity, None)
        runs = tuple(e for e in self.evidence if e.quantity == quantity)
        triples, ratios, deviations = [run.triple for run in runs], np.array([run.log_ratio for run in runs]), _deviations(runs)
        shared = _shared(quantity, triples, deviations, triples, deviations)
        noise = np.diag(_robust_noise(shared, ratios, NOISE_SIGMA[quantity]))
        precision = np.asarray(np.linalg.inv(shared + noise), dtype=np.float64)
        return Posterior(quantity, runs, precision, precision @ ratios)

    def to_json(self) -> str:
        """Every measurement with its provenance, in a form that `from_json` reads back equal."""
        return json.dumps({"version": _VERSION, "evidence": [asdict(e) for e in self.evidence]}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Learning":
        """What `to_json` wrote. Raises InvalidSpec for other text, and for evidence that `learn` would refuse."""
        try:
            stored = json.loads(text)
            evidence = tuple(evidence_of(entry) for entry in stored["evidence"])
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


def repeated(runs: Sequence[Evidence], prior_sigma: float | None = None) -> Correction:
    """Of a plan by the runs of that very plan, at least one, oldest first, none of which `refusal` objects to.

    The median run decides, the higher of two middle ones for memory, which must not be too little. Raises as
    `Learning.correction`, and IndexError without runs.
    """
    quantity, triple = runs[-1].quantity, runs[-1].triple
    before = prior_of(quantity, prior_sigma)
    middle = (median_high if quantity == MEMORY else median)([run.log_ratio for run in runs])
    named = tuple(dict.fromkeys(run.origin for run in reversed(runs)))
    after = min(before, NOISE_SIGMA[quantity] * sqrt(1.0 + 1.0 / len(runs)))
    return Correction(quantity, triple, exp(middle), after, before, len(runs), 0, named, same_plan=True)


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


def _deviations(runs: Sequence[Evidence]) -> list[float]:
    """What each run's estimate leaves to be shared."""
    return [shareable(run.quantity, prior_of(run.quantity, run.sigma)) for run in runs]


def _shared(
    quantity: str, ones: Sequence[Triple], of_ones: Sequence[float], others: Sequence[Triple], of_others: Sequence[float]
) -> NDArray[np.float64]:
    """Covariance of each of `ones` (rows) with each of `others` (columns), whose estimates have these deviations.

    Of two estimates the surer one says how much they can have in common: PARTS of the usual variance, as far as the triples
    agree. What both are less sure of than usual, they do not know of the accelerator: a busy machine, a bare datasheet.
    """
    equal = {
        part: np.equal.outer([getattr(t, part) for t in ones], [getattr(t, part) for t in others])
        for part in ("family", "strategy", "accelerator")
    }
    shares = PARTS["common"] + sum(PARTS[part] * same.astype(np.float64) for part, same in equal.items())
    alike = equal["family"] & equal["strategy"] & equal["accelerator"]
    variance = np.minimum.outer(np.square(of_ones), np.square(of_others))
    usual = np.minimum(variance, shareable(quantity, PRIOR_SIGMA[quantity]) ** 2)
    found = usual * (shares + PARTS["triple"] * alike) + (variance - usual) * equal["accelerator"]
    return np.asarray(found, dtype=np.float64)


def _kin(one: Triple, other: Triple) -> bool:
    return one.family == other.family or one.strategy == other.strategy or one.accelerator == other.accelerator


def _same(one: Evidence, other: Evidence) -> bool:
    return one.quantity == other.quantity and one.triple == other.triple
