"""Seconds of one optimizer step, term by term."""

import numpy as np

from farthing.estimates.configuration import Configurations, Floats
from farthing.estimates.constants_time import TimeConstants
from farthing.estimates.results import TimeBreakdown
from farthing.estimates.throughput import communication, compute
from farthing.estimates.throughput.attention import attention
from farthing.estimates.throughput.launch import launches
from farthing.estimates.throughput.optimizer import optimizer
from farthing.estimates.throughput.pipeline import bubble, stage_layers
from farthing.estimates.throughput.sustained import is_known

Terms = dict[str, Floats]


def estimate_time(c: Configurations, constants: TimeConstants | None = None) -> TimeBreakdown:
    """One optimizer step of each configuration; the fitted constants unless others are given.

    Less sure where no measured run stands behind it: on devices of unknown rate, with offload, under DoRA.
    """
    k = constants or TimeConstants()
    layers, rate = stage_layers(c), compute.matmul_rate(c, k)
    per_micro_batch = {name: layers * seconds for name, seconds in _layer(c, k, rate).items()}
    per_micro_batch["head"] = compute.head(c, k, rate)
    per_micro_batch["pipeline hops"] = c.vpp * communication.pipeline_hop(c, k)
    waiting = bubble(c, sum(per_micro_batch.values(), start=np.zeros(len(c))))
    terms = {name: c.accumulation * seconds for name, seconds in per_micro_batch.items()}
    terms |= {
        "pipeline bubble": waiting,
        "gradient all-reduce": communication.gradients(c, k),
        "optimizer": optimizer(c, k),
        "fixed": np.full(len(c), k.step_fixed),
    }
    done = c.micro_batch * c.accumulation * c.dp * c.sequence_length
    measured = (is_known(c) > 0) & (c.offload_states == 0) & (c.decomposed_width == 0)
    return TimeBreakdown(terms, done, c.devices, np.where(measured, k.sigma_measured, k.sigma_unknown))


def _layer(c: Configurations, k: TimeConstants, rate: Floats) -> Terms:
    """One layer and micro-batch: what the device does, and what its host and links add beyond what they hide behind it."""
    busy = {
        "matmuls": compute.matmuls(c, k, rate),
        "attention": attention(c, k, rate),
        "elementwise": compute.elementwise(c, k),
        "dequantization": compute.weight_preparation(c, k),
        "experts": compute.experts(c, k) + communication.expert_layer(c, k),
        "tensor-parallel collectives": communication.tensor_layer(c, k),
    }
    device = sum(busy.values(), start=np.zeros(len(c)))
    hidden = {
        "launches": launches(c, k),
        "sharded parameters": communication.sharded_layer(c, k),
        "host link": communication.offloaded_layer(c, k),
        "context-parallel ring": communication.context_layer(c, k),
    }
    exposed = _exposed(device, hidden, (1 + k.launch_overlap, *(1 + k.network_overlap,) * 3))
    # one unit for the whole model: nothing to compute while it is gathered and reduced
    exposed["sharded parameters"] = np.where(c.root_unit > 0, hidden["sharded parameters"], exposed["sharded parameters"])
    return busy | exposed


def _exposed(device: Floats, hidden: Terms, norms: tuple[float, ...]) -> Terms:
    """What each overlapped part adds to the device's time, one after the other: (aᵖ + bᵖ)^(1/p) − a."""
    exposed, reached = {}, device
    for (name, seconds), norm in zip(hidden.items(), norms, strict=True):
        if not seconds.any():
            exposed[name] = seconds
            continue
        total = reached * (1.0 + (seconds / reached) ** norm) ** (1.0 / norm)
        exposed[name], reached = total - reached, total
    return exposed
