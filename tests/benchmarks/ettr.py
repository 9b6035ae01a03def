"""Effective training time under an exponential failure process, long: `python -m tests.benchmarks.ettr --out <file>`.

Two processes under the supervisor, as in a pod, train the smallest preset. A seeded process kills a random one of them by
SIGKILL after exponentially distributed training time; the driver starts the next attempt at once. The interval between
checkpoints is the product's own (`Auto`: the mean time between failures of the run config and the write time it measures).
What the figures mean: `tests/support/ettr.py`.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any

from tests.support.ettr import Account, Attempt, account, best_interval, best_share, young
from tests.support.kills import End, live
from tests.support.trainer import Home, prepared_home, supervised

from farthing.catalog import preset
from farthing.contract.runconfig import RunConfig
from farthing.planner.budget import checkpoint_waste
from farthing.units import format_time

FLOOR = 0.97
PROCESSES = 2
POLL_SECONDS = 0.25
VERSIONS = ("farthing", "torch", "transformers", "numpy")


def exponential_kills(seconds: float, between_kills: float, seed: int) -> Iterator[End]:
    """Ends of attempts, until `seconds` of wall time are over; then the running attempt is asked to stop."""
    random, over = Random(seed), time.monotonic() + seconds
    while True:
        after, left = random.expovariate(1 / between_kills), over - time.monotonic()
        if after >= left:
            yield End(max(0.0, left), rank=None)
            return
        yield End(after, rank=random.randrange(PROCESSES))


def a_run(home: Home, between_kills: float) -> RunConfig:
    """The smallest preset with the interval that the product chooses, and no end but the driver's."""
    endless = {"trainerEnd": {"seconds": 1e6}, "supervisorEnd": {"seconds": 1e6}, "startupSeconds": 600.0}
    return home.config(
        processes=PROCESSES,
        model={"config": preset("llama-1m")},
        data={"sequenceLength": 128},
        batch={"globalBatch": 8, "microBatch": 2, "accumulation": 2},
        lease=endless,
        checkpoint={"intervalSeconds": None, "meanTimeBetweenFailuresSeconds": between_kills},
    )


def measure(seconds: float, between_kills: float, seed: int) -> dict[str, Any]:
    """Live through it once; the result as a document."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="farthing-ettr-") as scratch:
        home = Home(Path(scratch) / "run", prepared_home(Path(scratch) / "data"))
        home.path.mkdir()
        kills = exponential_kills(seconds, between_kills, seed)
        attempts = live(supervised, home.path, a_run(home, between_kills), kills, POLL_SECONDS)
    return {
        "what": "effective training time ratio under SIGKILL of a random rank, against what Young and Daly allow",
        "measured": format_time(datetime.now(UTC)),
        "machine": {**machine(), "loadAverageBefore": load, "loadAverageAfter": os.getloadavg()[0]},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in VERSIONS}},
        "settings": {"seed": seed, "secondsAsked": seconds, "meanBetweenKills": between_kills, "processes": PROCESSES},
        "figures": figures(account(attempts), between_kills),
        "attempts": [of_attempt(each) for each in attempts],
    }


def machine() -> dict[str, Any]:
    """What it ran on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"processor": model, "cores": os.cpu_count(), "memoryBytes": memory, "kernel": platform.release()}


def figures(sums: Account, between_kills: float) -> dict[str, Any]:
    """Seconds and ratios, rounded for readers."""
    seconds = {
        "wall": sums.wall,
        "survivingSteps": sums.surviving_steps,
        "lostSteps": sums.lost_steps,
        "saving": sums.saving,
        "starting": sums.starting,
        "other": sums.other,
        "trained": sums.trained,
        "meanSave": sums.save,
        "meanStart": sums.start,
        "meanBetweenKills": sums.between_kills,
        "youngsInterval": young(sums.save, between_kills),
        "bestInterval": best_interval(sums.save, sums.between_kills),
    }
    ratios = {
        "ettr": sums.ettr,
        "allowedByYoungAndDaly": sums.allowed,
        "ofTheOptimum": sums.of_the_optimum,
        "floor": FLOOR,
        "wasteForeseenByThePlanner": checkpoint_waste(sums.save, sums.between_kills),
        "wasteAtTheOptimum": 1 - best_share(sums.save, sums.between_kills),
        "wasteMeasured": (sums.lost_steps + sums.saving) / sums.trained,
    }
    return {
        "kills": sums.kills,
        "saves": sums.saves,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "ratios": {name: round(value, 4) for name, value in ratios.items()},
    }


def of_attempt(attempt: Attempt) -> dict[str, Any]:
    """One line of the table."""
    last = attempt.samples[-1]
    return {
        "resumedFrom": attempt.resumed_from,
        "lastStepSeen": last.step,
        "killedRank": attempt.killed_rank,
        "saves": len(attempt.saves),
        "seconds": {
            "start": round(attempt.startup, 3),
            "trained": round(attempt.trained, 3),
            "steps": round(attempt.stepping, 3),
            "saving": round(attempt.saving, 3),
            "dying": round(attempt.ended - attempt.end_sent, 3),
        },
    }


def main() -> None:
    """Measure, write the document, say the figures."""
    parser = argparse.ArgumentParser(description="Measure effective training time under kills.")
    parser.add_argument("--seconds", type=float, default=900.0, help="wall time to live through")
    parser.add_argument("--between-kills", type=float, default=40.0, help="mean seconds of training between kills")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--out", type=Path, required=True, help="the result (JSON)")
    wanted = parser.parse_args()
    result = measure(wanted.seconds, wanted.between_kills, wanted.seed)
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    wanted.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result["figures"], indent=2))


if __name__ == "__main__":
    main()
