"""What one CPU slot can do: measured, not looked up, since nobody publishes it for a slice of a virtual machine.

All slots are measured at once, one single-threaded process each, because slots that share a core or a memory bus slow one
another down; the slowest counts.
"""

import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from farthing.errors import LocalClusterError

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL", "BLIS")}

METHOD = (
    "numpy float32 512x512x512 matrix product and 256 MiB copy (read + write), single-threaded, "
    "all slots at once, best of repeats, slowest slot"
)

PROGRAM = """
import json, time
import numpy

def best(repeats, work):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)

side = 512
a, b, product = (numpy.ones((side, side), dtype=numpy.float32) for _ in range(3))
source = numpy.ones(2**25, dtype=numpy.float64)
target = numpy.empty_like(source)
flops = 2 * side**3 / best(200, lambda: numpy.matmul(a, b, out=product))
bandwidth = 2 * source.nbytes / best(10, lambda: numpy.copyto(target, source))
print(json.dumps([flops, bandwidth]))
"""
"""Runs in a process of its own, since the thread count of a BLAS is fixed when it is loaded."""


@dataclass(frozen=True, slots=True)
class CpuRate:
    """What one slot reaches: `flops_per_second` of dense float32 products, `bytes_per_second` of memory moved."""

    flops_per_second: float
    bytes_per_second: float
    slots: int
    cpu_model: str
    measured_at: str
    method: str = METHOD
    source: str = "measured"


def measure_cpu_rate(slots: int = 1) -> CpuRate:
    """Measure with `slots` processes side by side; about two seconds.

    Raises LocalClusterError when the measuring process fails (numpy missing).
    """
    with ThreadPoolExecutor(slots) as pool:
        results = list(pool.map(_measure, range(slots)))
    flops, bandwidth = (min(values) for values in zip(*results, strict=True))
    return CpuRate(flops, bandwidth, slots, cpu_model(), datetime.now(UTC).isoformat(timespec="seconds"))


def save_rate(rate: CpuRate, file: Path) -> None:
    """Write the measurement as JSON."""
    file.write_text(json.dumps(asdict(rate), indent=2) + "\n")


def load_rate(file: Path) -> CpuRate:
    """Read a measurement back."""
    return CpuRate(**json.loads(file.read_text()))


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, or the machine's architecture where it has none."""
    names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _measure(_slot: int) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LocalClusterError(f"measuring the CPU's rate failed:\n{done.stderr.strip()}")
    flops, bandwidth = json.loads(done.stdout)
    return flops, bandwidth
