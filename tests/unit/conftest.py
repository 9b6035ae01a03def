"""Hypothesis for the unit tier: the same examples in every run, and no limit on their wall time (the machine may be busy)."""

from hypothesis import settings

settings.register_profile("unit", deadline=None, derandomize=True)
settings.load_profile("unit")
