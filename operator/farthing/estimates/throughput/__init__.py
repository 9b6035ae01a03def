"""How long a training step takes: rooflines, launches, communication, pipeline and optimizer, from `Configurations` alone."""

from farthing.estimates.throughput.estimate import estimate_time

__all__ = ["estimate_time"]
