"""Final validation loss after D tokens: a scaling law, its repetition discount, and what is known below its range.

From 10 million parameters: L = E + A/N^α + B/D^β with N all parameters, as corrected in arXiv:2404.10102 (fitted on models of
44M to 16B parameters and a vocabulary of 32,000). Below, that law is far outside its data: for 0.9M parameters and 1.4M tokens
it says 17.7 nats, more than a uniform guess. There an empirical law of our own pilots stands in, without a term in N: from
0.17M to 0.87M parameters the loss hung on the tokens alone (see `SMALL_SCALE`). Both are capped at ln V, the loss of a model
that knows nothing.
"""

from math import exp, log

from farthing.contract.shape import ModelShape
from farthing.domain.plan import Prediction

E, A, B, ALPHA, BETA = 1.8172, 482.01, 2085.43, 0.3478, 0.3658
"""Nats per token; arXiv:2404.10102, table 1."""
LAW_SIGMA = 0.10
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


def effective_tokens(tokens: float, unique_tokens: float | None) -> float:
    """D' = U + U·R*·(1 − e^(−(D/U − 1)/R*)): what D tokens are worth of which U are unique. arXiv:2305.16264, equation 5."""
    if unique_tokens is None or tokens <= unique_tokens:
        return tokens
    repeats = tokens / unique_tokens - 1.0
    return unique_tokens * (1.0 + REPETITION_HALF * (1.0 - exp(-repeats / REPETITION_HALF)))


def loss_value(shape: ModelShape, tokens: float, unique_tokens: float | None = None) -> float:
    """Nats per token after training on `tokens` in all; never above ln V. Decreases in `tokens`."""
    guess = log(shape.vocabulary)
    if tokens < 1:
        return guess
    worth = effective_tokens(tokens, unique_tokens)
    law = _small_scale(shape, worth) if shape.parameters < SMALL_MODEL else _chinchilla(shape, worth)
    return min(guess, law)


def predict_loss(shape: ModelShape, tokens: float, unique_tokens: float | None = None) -> Prediction:
    """`loss_value` with its uncertainty and origin."""
    small = shape.parameters < SMALL_MODEL
    source = "pilots below 10M parameters, BPE of 1,024 on code" if small else "scaling law arXiv:2404.10102"
    if unique_tokens is not None and tokens > unique_tokens:
        source += f"; {tokens / unique_tokens:.1f} epochs discounted by arXiv:2305.16264"
    return Prediction(loss_value(shape, tokens, unique_tokens), SMALL_SIGMA if small else LAW_SIGMA, "nats/token", source)


def _chinchilla(shape: ModelShape, tokens: float) -> float:
    return float(E + A / shape.parameters**ALPHA + B / tokens**BETA)


def _small_scale(shape: ModelShape, tokens: float) -> float:
    """Scaled by ln V ÷ ln 1,024 for other vocabularies: longer tokens carry more nats (assumed, not measured)."""
    floor, height, unit, exponent = SMALL_SCALE
    return float((floor + height * (tokens / unit) ** -exponent) * log(shape.vocabulary) / log(SMALL_VOCABULARY))
