"""Compute-optimal training: how large a model, on how many tokens, a budget of FLOPs or of money should buy.

The corrected law of `loss` is minimised over N at fixed spending: c·N·D to train (c = 6 for a full training, rule C8 of the
others) and 2·N·D_inf for the tokens that will be served (rule C19; arXiv:2401.00448). Spending held fixed, ln D falls concavely
as ln N rises and the law falls convexly in ln D, repetition included, so the loss has one minimum in ln N: a golden-section
search finds it. Without repetition and serving the answer is the closed form `chinchilla_optimum`, which the tests compare.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, log

from farthing.domain.plan import Prediction
from farthing.errors import InvalidSpec, MissingPrice
from farthing.planner.loss import ALPHA, BETA, SMALL_MODEL, A, B, TokenWorth, law_loss, law_sigma
from farthing.units import SECONDS_PER_HOUR

FULL_TRAINING = 6.0
"""FLOPs per parameter and token: forward 2, backward 4 (rule C8). 8 with full recomputation, 4 with a frozen base."""
SERVING = 2.0
"""FLOPs per parameter and served token: a forward pass."""
PLAIN = TokenWorth()
_SMALLEST, _LARGEST = 1e3, 1e16
_GOLDEN = (5**0.5 - 1.0) / 2.0
_STEPS = 80
"""Golden-section steps: 0.618^80 of ln(1e13) is below a double's precision."""


@dataclass(frozen=True, slots=True)
class ComputeRate:
    """What an accelerator-hour costs and how many useful FLOP/s it gives: peak × utilisation, as measured or planned."""

    row: str
    """Pool or catalogue row that the numbers are of: named when its price is missing."""
    flops_per_second: float
    price_per_accelerator_hour: float | None

    def flops(self, money: float) -> float:
        """FLOPs that `money` buys, start-up and lost work not counted. Raises MissingPrice that names the row."""
        if self.price_per_accelerator_hour is None:
            raise MissingPrice(
                f"spec.price: {self.row} has none, and a budget of money cannot be turned into FLOPs without it: "
                f"add perAcceleratorHour, currency and source to {self.row}"
            )
        _positive("price_per_accelerator_hour", self.price_per_accelerator_hour)
        return _positive("money", money) / self.price_per_accelerator_hour * SECONDS_PER_HOUR * self.flops_per_second


@dataclass(frozen=True, slots=True)
class ComputeAllocation:
    """A model size and the tokens to train it on, for one budget."""

    parameters: float
    """N, all parameters."""
    tokens: float
    """D, tokens trained on, repetitions included."""
    flops: float
    """Spent on training: c·N·D."""
    serving_flops: float
    """2·N·D_inf."""
    loss: Prediction
    notes: tuple[str, ...] = ()

    @property
    def tokens_per_parameter(self) -> float:
        """D/N."""
        return self.tokens / self.parameters


@dataclass(frozen=True, slots=True)
class Terms:
    """Under what terms FLOPs become loss."""

    worth: TokenWorth = PLAIN
    flops_per_parameter_token: float = FULL_TRAINING
    served_tokens: float = 0.0
    """D_inf, tokens that the trained model will serve, paid from the same budget."""

    def tokens(self, flops: float, parameters: float) -> float:
        """D that `flops` leave a model of that size after serving; at most 0 where serving alone costs more."""
        return (flops - SERVING * parameters * self.served_tokens) / (self.flops_per_parameter_token * parameters)


def chinchilla_optimum(flops: float) -> tuple[float, float]:
    """(N, D) that minimise the law at C = 6·N·D: N = (αA/βB)^(1/(α+β)) · (C/6)^(β/(α+β)). arXiv:2203.15556, equation 4."""
    per_pair = _positive("flops", flops) / FULL_TRAINING
    scale = (ALPHA * A / (BETA * B)) ** (1.0 / (ALPHA + BETA))
    parameters = scale * per_pair ** (BETA / (ALPHA + BETA))
    return parameters, per_pair / parameters


def allocate(
    flops: float, *, parameters: float | None = None, sizes: Sequence[float] = (), terms: Terms | None = None
) -> ComputeAllocation:
    """The best (N, D) for `flops`: N as given, else the best of `sizes`, else free.

    Raises InvalidSpec where a number is not finite and above 0, or where no size leaves a token to train.
    """
    terms, _ = terms or Terms(), _positive("flops", flops)
    if parameters is not None:
        return _at(flops, _positive("parameters", parameters), terms, "model size given")
    if sizes:
        best = min(sorted(_positive("sizes", size) for size in sizes), key=lambda size: _loss(flops, size, terms))
        return _at(flops, best, terms, f"best of {len(sizes)} sizes")
    return _at(flops, _minimum(lambda size: _loss(flops, size, terms)), terms, "model size free")


def allocate_money(
    money: float,
    rate: ComputeRate,
    *,
    parameters: float | None = None,
    sizes: Sequence[float] = (),
    terms: Terms | None = None,
) -> ComputeAllocation:
    """`allocate` for what `money` buys at `rate`. Raises MissingPrice where the rate has no price, else as `allocate`."""
    return allocate(rate.flops(money), parameters=parameters, sizes=sizes, terms=terms)


def flops_for_loss(target: float, parameters: float, terms: Terms | None = None) -> float | None:
    """FLOPs, serving included, at which a model of that size reaches `target` nats per token; None where it never does."""
    terms = terms or Terms()
    if law_loss(parameters, terms.worth.tokens(_LARGEST)) > target:
        return None
    low, high = 0.0, log(_LARGEST)
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        enough = law_loss(parameters, terms.worth.tokens(exp(middle))) <= target
        low, high = (low, middle) if enough else (middle, high)
    return parameters * (terms.flops_per_parameter_token * exp(high) + SERVING * terms.served_tokens)


def _at(flops: float, parameters: float, terms: Terms, how: str) -> ComputeAllocation:
    tokens = terms.tokens(flops, parameters)
    if tokens < 1.0:
        serving = SERVING * parameters * terms.served_tokens
        remedy = f"serving {terms.served_tokens:.3g} tokens takes {serving:.3g} FLOPs of it; raise it or take a smaller model"
        raise InvalidSpec("flops", flops, f"{remedy} than {parameters:.3g} parameters")
    fresh = terms.worth.tokens(tokens)
    source = "; ".join(("scaling law arXiv:2404.10102", how, *terms.worth.notes(tokens)))
    loss = Prediction(law_loss(parameters, fresh), law_sigma(parameters, fresh), "nats/token", source)
    return ComputeAllocation(
        parameters,
        tokens,
        flops=terms.flops_per_parameter_token * parameters * tokens,
        serving_flops=SERVING * parameters * terms.served_tokens,
        loss=loss,
        notes=_notes(parameters),
    )


def _notes(parameters: float) -> tuple[str, ...]:
    if parameters >= SMALL_MODEL:
        return ()
    return (f"{parameters:.3g} parameters are below the law's range (from {SMALL_MODEL:.0e}): an extrapolation",)


def _loss(flops: float, parameters: float, terms: Terms) -> float:
    tokens = terms.worth.tokens(max(0.0, terms.tokens(flops, parameters)))
    return law_loss(parameters, tokens) if tokens > 0 else inf


def _minimum(loss: Callable[[float], float]) -> float:
    """The argument with the least loss, by golden section over its logarithm; infinite losses lie to the right."""
    low, high = log(_SMALLEST), log(_LARGEST)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(exp(left)), loss(exp(right))
    for _ in range(_STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(exp(left))
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(exp(right))
    return exp((low + high) / 2.0)


def _positive(name: str, value: float) -> float:
    if not (isfinite(value) and value > 0):
        raise InvalidSpec(name, value, "give a finite number above 0")
    return float(value)
