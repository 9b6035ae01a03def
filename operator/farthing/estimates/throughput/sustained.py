"""What share of its datasheet peak a device sustains in matmuls of the best shape: published measurements, none of training.

A device is recognised by two datasheet figures, the dense 16-bit peak and the memory bandwidth.
"""

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


def _recognised(c: Configurations, device: Sustained) -> npt.NDArray[np.bool_]:
    near = np.abs(c.peak_flops - device.peak * 1e12) <= TOLERANCE * device.peak * 1e12
    return np.asarray(near & (np.abs(c.memory_bandwidth - device.bandwidth * 1e12) <= TOLERANCE * device.bandwidth * 1e12))


def sustained_share(c: Configurations) -> Floats:
    """Measured share of the peak; `UNKNOWN_SHARE` for a device that is not in the table."""
    share = np.full(len(c), UNKNOWN_SHARE)
    for device in DEVICES:
        share[_recognised(c, device)] = device.share
    return share


def is_known(c: Configurations) -> Floats:
    """1 where the device is in the table, else 0: the others get a wider uncertainty."""
    known = np.zeros(len(c))
    for device in DEVICES:
        known[_recognised(c, device)] = 1.0
    return known
