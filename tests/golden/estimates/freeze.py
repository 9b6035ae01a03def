"""What the estimates say of ten published runs: `python -m tests.golden.estimates.freeze` freezes the predictions anew.

`published_runs.json` has the runs as their sources state them (columns of the ground truth's schema, empty ones left out) and,
by run, the terms as predicted when last frozen: bytes and seconds, those that are nothing left out.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from farthing.estimates.configuration import Floats
from farthing.estimates.memory import estimate_memory
from farthing.estimates.rows import read_rows
from farthing.estimates.throughput import estimate_time

FILE = Path(__file__).with_name("published_runs.json")


def published_runs() -> list[dict[str, Any]]:
    """Each `run` beside what was `predicted` of it."""
    found: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def predictions(runs: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Terms and totals of each run, six digits. Raises ValueError where a run is refused."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(name for run in runs for name in run)))
    writer.writeheader()
    writer.writerows(runs)
    rows = read_rows(out.getvalue())
    if rows.refused:
        raise ValueError(f"refused: {dict(rows.refused)}")
    memory, time = estimate_memory(rows.configurations), estimate_time(rows.configurations)
    totals = {name: getattr(memory, name) for name in ("allocated", "reserved", "used", "safe")}
    return [
        {
            "memoryBytes": {phase: _at(named, index) for phase, named in memory.terms.items()},
            "memoryTotals": _at(totals, index),
            "stepSeconds": _at(time.terms, index),
            "tokensPerSecondPerDevice": _six(time.tokens_per_second_per_device[index]),
        }
        for index in range(len(rows))
    ]


def _at(columns: Mapping[str, Floats], index: int) -> dict[str, float]:
    return {name: _six(values[index]) for name, values in columns.items() if values[index] > 0}


def _six(value: float) -> float:
    return float(f"{float(value):.6g}")


if __name__ == "__main__":
    known = [each["run"] for each in published_runs()]
    frozen = [{"run": run, "predicted": said} for run, said in zip(known, predictions(known), strict=True)]
    FILE.write_text(json.dumps(frozen, indent=1) + "\n", encoding="utf-8")
