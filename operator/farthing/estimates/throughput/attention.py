"""The attention core, in seconds a layer and micro-batch on one device."""

import numpy as np

from farthing.estimates.configuration import Attention, Configurations, Floats
from farthing.estimates.constants_time import TimeConstants
from farthing.estimates.throughput.compute import bandwidth, tokens, traffic_factor
from farthing.estimates.throughput.passes import attention_again

FLASH_BACKWARD = 2.5
"""Backward ÷ forward of fused attention: five products instead of two (Dao 2022)."""

WIDE = 2.0
"""Bytes an element above which tensor cores do not serve attention."""


def attention(c: Configurations, k: TimeConstants, rate: Floats) -> Floats:
    """Fused kernels do half the products (causal); eager ones do all of them and move the scores through memory.

    `rate`: FLOP/s of large matmuls in 2 bytes.
    """
    pairs = tokens(c) * c.sequence_length / c.tp
    products = 4.0 * pairs * c.query_width
    rate = rate / np.where(c.compute_bytes > WIDE, k.wide_attention, 1.0)
    again = attention_again(c)
    fused = (1.0 + again + FLASH_BACKWARD) * 0.5 * products / (rate * k.flash_efficiency)
    scores = k.score_traffic * traffic_factor(c, k) * pairs * c.heads * c.compute_bytes / bandwidth(c, k)
    eager = (3.0 + again) * (products / rate + scores)
    return np.where(c.attention == Attention.EAGER, eager, fused)
