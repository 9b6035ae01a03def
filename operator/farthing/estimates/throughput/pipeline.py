"""From layers and micro-batches to a step: stages and the bubble."""

import numpy as np

from farthing.estimates.configuration import Configurations, Floats


def stage_layers(c: Configurations) -> Floats:
    """Layers of the fullest stage, chunks rounded up."""
    return np.ceil(c.layers / (c.pp * c.vpp) - 1e-9) * c.vpp


def bubble(c: Configurations, stage: Floats) -> Floats:
    """Seconds that a device waits for the pipeline to fill and drain: p − 1 micro-batches of one stage, ÷ chunks."""
    return (c.pp - 1) / c.vpp * stage
