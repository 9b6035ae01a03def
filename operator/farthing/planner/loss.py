"""Final validation loss after D tokens: a scaling law, its repetition discount, and what is known below its range.

From 10 million parameters: L = E + A/N^α + B/D^β with N all parameters, as corrected in arXiv:2404.10102 (fitted on models of
44M to 16B parameters and a vocabulary of 32,000). Below, that law is far outside its data: for 0.9M parameters and 1.4M tokens
it says 17.7 nats, more than a uniform guess. There an empirical law of our own pilots stands in, without a term in N: from
0.17M to 0.87M parameters the loss hung on the tokens alone (see `SMALL_SCALE`). Both are capped at ln V, the loss of a model
that knows nothing.

What D tokens are worth hangs on more than D: selected data counts η-fold, repeated data ever less, and batches near the
critical one cost 1 + B/B_crit times the tokens (`TokenWorth`). Where the training starts from a pretrained model no law holds:
what the budget buys is then told in tokens, not in loss (`predict_outcome`).
"""

from dataclasses import dataclass
from math import exp, hypot, isfinite, log, sqrt
from typing import Protocol

from farthing.domain.plan import Prediction
from farthing.errors import InvalidSpec

E, A, B, ALPHA, BETA = 1.8172, 482.01, 2085.43, 0.3478, 0.3658
"""Nats per token; arXiv:2404.10102, table 1."""
STANDARD_ERRORS = (0.03, 124.58, 1293.23, 0.02, 0.02)
"""Of E, A, B, α, β: 4,000 bootstraps over 240 runs; arXiv:2404.10102, table 1."""
FITTED_PARAMETERS = (7.0e7, 1.6e10)
FITTED_TOKENS = (5.0e9, 5.0e11)
"""Ranges of N and of D of the runs behind the fit (arXiv:2404.10102, introduction). They tell how A goes with α and B with β,
which the paper does not print: see `law_fit_sigma`."""
LAW_SIGMA = 0.10
"""Relative spread between texts and tokenisers that the fit, made on one of each, knows nothing of (assumed)."""
REPETITION_HALF = 15.39
"""R*_D of arXiv:2305.16264: epochs after which repeated tokens have lost 1 − 1/e of their worth."""
SMALL_MODEL = 10_000_000

SMALL_SCALE = (1.8, 3.76, 1.0e5, 0.22)
"""(e, b, d, β) of L = e + b·(D/d)^−β, in nats per token of a BPE of 1,024 (2.76 bytes a token). Measured on Python sources with
AdamW 6e-3, batch 4 × 256 and the last 20 % decaying: 0.17M parameters, D = 0.10, 0.20, 0.41, 0.82, 1.64, 3.28M tokens: 5.53,
5.03, 4.65, 4.28, 3.89, 3.52 nats; 0.87M parameters, D = 0.10, 0.20, 0.41, 0.82, 1.43M: 5.62, 5.11, 4.68, 4.21, 3.78."""
SMALL_VOCABULARY = 1024
SMALL_SIGMA = 0.20
"""Wide: one corpus, one vocabulary, one learning rate; other text, schedules and batches moved it by up to a fifth."""


class LanguageModel(Protocol):
    """All that the laws ask of a model."""

    @property
    def parameters(self) -> int:
        """N, embeddings included."""

    @property
    def vocabulary(self) -> int:
        """V."""


def effective_tokens(tokens: float, unique_tokens: float | None) -> float:
    """D' = U + U·R*·(1 − e^(−(D/U − 1)/R*)): what D tokens are worth of which U are unique. arXiv:2305.16264, equation 5."""
    if unique_tokens is None or tokens <= unique_tokens:
        return tokens
    repeats = tokens / unique_tokens - 1.0
    return unique_tokens * (1.0 + REPETITION_HALF * (1.0 - exp(-repeats / REPETITION_HALF)))


@dataclass(frozen=True, slots=True)
class TokenWorth:
    """What makes a token worth more or less than one fresh token of the plain corpus at a small batch.

    Raises InvalidSpec unless every member that is given is a finite number above 0.
    """

    unique_tokens: float | None = None
    """U, tokens of which the run is made, after selection and deduplication; None: never repeated."""
    selection_factor: float = 1.0
    """η, tokens saved by selecting the data (rule C1): 1 for none; the selection's own FLOPs are charged to the budget."""
    batch_tokens: float | None = None
    """B, tokens of one optimizer step."""
    critical_batch_tokens: float | None = None
    """B_crit in tokens; None: unknown, and no overhead is reckoned."""

    def __post_init__(self) -> None:
        for field in self.__slots__:
            given = getattr(self, field)
            if given is not None and not (isfinite(given) and given > 0):
                raise InvalidSpec(field, given, "give a finite number above 0, or leave it out")

    @property
    def batch_overhead(self) -> float:
        """1 + B/B_crit, tokens needed per token at a small batch (rule C10; arXiv:1812.06162); 1 where either is unknown."""
        if self.batch_tokens is None or self.critical_batch_tokens is None:
            return 1.0
        return 1.0 + self.batch_tokens / self.critical_batch_tokens

    def tokens(self, trained: float) -> float:
        """Fresh plain tokens at a small batch that `trained` tokens are worth: η·D'(D, U) / (1 + B/B_crit)."""
        return self.selection_factor * effective_tokens(trained, self.unique_tokens) / self.batch_overhead

    def notes(self, trained: float) -> tuple[str, ...]:
        """What was reckoned besides the plain law, one phrase each."""
        found = []
        if self.unique_tokens is not None and trained > self.unique_tokens:
            found.append(f"{trained / self.unique_tokens:.1f} epochs discounted by arXiv:2305.16264")
        if self.selection_factor != 1.0:
            found.append(f"selected data counted {self.selection_factor:.2f}-fold")
        if self.batch_overhead > 1.0:
            found.append(f"batch overhead {self.batch_overhead:.2f} (1 + B/B_crit)")
        return tuple(found)


def loss_value(
    shape: LanguageModel, tokens: float, unique_tokens: float | None = None, worth: TokenWorth | None = None
) -> float:
    """Nats per token after training on `tokens` in all; never above ln V. Decreases in `tokens`.

    `worth` says what the tokens are worth and then replaces `unique_tokens`.
    """
    guess = log(shape.vocabulary)
    if tokens < 1:
        return guess
    fresh = (worth or TokenWorth(unique_tokens)).tokens(tokens)
    law = _small_scale(shape, fresh) if shape.parameters < SMALL_MODEL else law_loss(shape.parameters, fresh)
    return min(guess, law)


def predict_loss(
    shape: LanguageModel, tokens: float, unique_tokens: float | None = None, worth: TokenWorth | None = None
) -> Prediction:
    """`loss_value` with its origin and uncertainty: the fit's own, and the spread between texts, added in squares."""
    worth = worth or TokenWorth(unique_tokens)
    small = shape.parameters < SMALL_MODEL
    sigma = SMALL_SIGMA if small else law_sigma(shape.parameters, max(1.0, worth.tokens(tokens)))
    origin = "pilots below 10M parameters, BPE of 1,024 on code" if small else "scaling law arXiv:2404.10102"
    source = "; ".join((origin, *worth.notes(tokens)))
    return Prediction(loss_value(shape, tokens, worth=worth), sigma, "nats/token", source)


def predict_outcome(shape: LanguageModel, tokens: float, *, pretrained: bool, worth: TokenWorth | None = None) -> Prediction:
    """What training on `tokens` gives: the final loss, or for a pretrained model the fresh tokens that they are worth.

    The unit tells which: `nats/token`, lower is better, or `tokens`, higher is better. No published law tells the loss on data
    that the first training never saw, and the source says so; the tokens are reckoned, not predicted: their sigma is 0.
    """
    worth = worth or TokenWorth()
    if not pretrained:
        return predict_loss(shape, tokens, worth=worth)
    source = "; ".join(("tokens, not loss: no scaling law holds for fine-tuning", *worth.notes(tokens)))
    return Prediction(worth.tokens(tokens), 0.0, "tokens", source)


def law_loss(parameters: float, tokens: float) -> float:
    """E + A/N^α + B/D^β in nats per token, without the cap at ln V. Raises OverflowError or ZeroDivisionError at 0."""
    return float(E + A / parameters**ALPHA + B / tokens**BETA)


def law_sigma(parameters: float, tokens: float) -> float:
    """Relative spread of the law's prediction: `law_fit_sigma` and LAW_SIGMA, added in squares."""
    return hypot(LAW_SIGMA, law_fit_sigma(parameters, tokens) / law_loss(parameters, tokens))


def law_fit_sigma(parameters: float, tokens: float) -> float:
    """Standard deviation of the law's prediction from its standard errors, in nats per token.

    E, the term in N and the term in D are taken as independent. Within a term, coefficient and exponent are not: a power law
    fitted over a narrow range far from x = 1 fixes its height there, and the two errors nearly cancel. For a straight line in
    ln x their correlation is m/√(m² + s²), with m and s the mean and deviation of ln x over the runs, here uniform in ln x.
    """
    e, a, b, alpha, beta = STANDARD_ERRORS
    in_size = A / parameters**ALPHA * _term_sigma(a / A, alpha, log(parameters), FITTED_PARAMETERS)
    in_tokens = B / tokens**BETA * _term_sigma(b / B, beta, log(tokens), FITTED_TOKENS)
    return hypot(e, in_size, in_tokens)


def _term_sigma(coefficient: float, exponent: float, x: float, fitted: tuple[float, float]) -> float:
    """Relative deviation of c·e^(−γx), from that of c (relative) and of γ, and the range over which both were fitted."""
    low, high = log(fitted[0]), log(fitted[1])
    middle, spread = (low + high) / 2.0, (high - low) / sqrt(12.0)
    correlation = middle / hypot(middle, spread)
    variance = coefficient**2 + (exponent * x) ** 2 - 2.0 * correlation * coefficient * exponent * x
    return sqrt(max(0.0, variance))


def _small_scale(shape: LanguageModel, tokens: float) -> float:
    """Scaled by ln V ÷ ln 1,024 for other vocabularies: longer tokens carry more nats (assumed, not measured)."""
    floor, height, unit, exponent = SMALL_SCALE
    return float((floor + height * (tokens / unit) ** -exponent) * log(shape.vocabulary) / log(SMALL_VOCABULARY))
