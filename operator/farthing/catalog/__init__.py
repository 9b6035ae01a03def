"""The catalogue: accelerators and model presets. Every row has its source and the day on which that was read."""

from farthing.catalog.tables import accelerator, accelerators, preset, presets

__all__ = ["accelerator", "accelerators", "preset", "presets"]
