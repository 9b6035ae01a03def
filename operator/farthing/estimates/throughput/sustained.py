"""What share of its datasheet peak a device sustains in matmuls of the best shape: published measurements, none of training.

A device is recognised by two datasheet figures, the dense 16-bit peak and the memory bandwidth.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from farthing.estimates.configuration import Configurations, Floats

MAMF = "stas00/ml-engineering compute/accelerator, table of maximum achievable matmul FLOPS"
TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Sustained:
    """One device: TFLOP/s and TB/s of the datasheet, measured ÷ datasheet, where that was published."""

    name: str
    peak: float
    bandwidth: float
    share: float
    source: str


DEVICES = (
    Sustained("A100-40GB-SXM", 312.0, 1.555, 0.859, MAMF),
    Sustained("A100-80GB-SXM", 312.0, 2.039, 0.859, MAMF),
    Sustained("A100-80GB-PCIe", 312.0, 1.935, 0.822, MAMF),
    Sustained("H100-80GB-SXM", 989.0, 3.35, 0.801, MAMF),
    Sustained("H200-141GB-SXM", 989.0, 4.8, 0.803, MAMF + " (H100 and H200 in one row)"),
    Sustained("GH200", 989.0, 4.0, 0.830, MAMF),
    Sustained("B200-180GB-SXM", 2250.0, 8.0, 0.776, MAMF),
    Sustained("MI300X", 1307.0, 5.3, 0.601, MAMF + " (ROCm 6.2)"),
    Sustained("T4", 65.0, 0.32, 0.37, "forums.developer.nvidia.com 264462: 24 of 65 TFLOP/s, capped by 70 W"),
)

UNKNOWN_SHARE = float(np.median([device.share for device in DEVICES]))
"""For devices outside the table, whose estimate is the more uncertain."""


def _recognised(peak: float, bandwidth: float) -> Sustained | None:
    """The table's device with these figures; of two so near each other the later, None without one."""
    found = None
    for device in DEVICES:
        near = abs(peak - device.peak * 1e12) <= TOLERANCE * device.peak * 1e12
        if near and abs(bandwidth - device.bandwidth * 1e12) <= TOLERANCE * device.bandwidth * 1e12:
            found = device
    return found


def sustained_share(c: Configurations) -> Floats:
    """Measured share of the peak; `UNKNOWN_SHARE` for a device that is not in the table."""
    return _by_device(c, lambda found: UNKNOWN_SHARE if found is None else found.share)


def is_known(c: Configurations) -> Floats:
    """1 where the device is in the table, else 0: the others get a wider uncertainty."""
    return _by_device(c, lambda found: float(found is not None))


def _by_device(c: Configurations, value: Callable[[Sustained | None], float]) -> Floats:
    """The value of each configuration's device, looked up once for all that have one: few differ."""
    found, left = np.empty(len(c)), np.ones(len(c), dtype=np.bool_)
    while left.any():
        at = int(np.argmax(left))
        peak, bandwidth = c.peak_flops[at], c.memory_bandwidth[at]
        alike = _same(c.peak_flops, peak) & _same(c.memory_bandwidth, bandwidth)
        found[alike], left = value(_recognised(peak, bandwidth)), left & ~alike
    return found


def _same(column: Floats, number: float) -> npt.NDArray[np.bool_]:
    """Where the column has that number; NaN is unknown, and the same as unknown."""
    return np.asarray(np.isnan(column) if np.isnan(number) else column == number, dtype=np.bool_)
