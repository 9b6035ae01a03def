"""The planner's memory of a CPU trainer against measurements: `python -m tests.benchmarks.cpu_memory --out <file>`.

Each setting is trained for a few steps by the real trainer in fresh processes: once as it is (peak of the resident set), under
exactly the memory limit that the planner would ask Kubernetes for, and once with torch's allocator watched (peak of tensors by
phase). `--measured <file>` predicts again for what was measured before. How: `tests/support/footprint.py`.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.ettr import machine
from tests.support.footprint import STEPS, Measured, Setting, measure, predicted
from tests.support.trainer import Home, run_config, supervised, write_corpus

from farthing.units import MIB, format_time

VERSIONS = ("farthing", "torch", "transformers", "peft", "numpy")
DOCUMENTS = 400
"""Enough text that the held-out part has sequences of the longest setting."""

SHARDED = ("FullShard", "PerLayer", "Full")
SETTINGS = (
    # name, hidden, layers, heads, kv heads, ffn, vocabulary, tied, tokens a sequence, micro-batch, accumulation
    Setting("llama-1m", 128, 4, 4, 2, 352, 1024, True, 256, 4, 2),
    Setting("llama-15m", 288, 6, 6, 6, 768, 32000, True, 256, 1),
    Setting("llama-15m, 4 sequences", 288, 6, 6, 6, 768, 32000, True, 256, 4),
    Setting("256 × 8", 256, 8, 8, 4, 704, 8192, False, 512, 2),
    Setting("512 × 8", 512, 8, 8, 8, 1376, 8192, False, 256, 2),
    Setting("512 × 8, LoRA", 512, 8, 8, 8, 1376, 8192, False, 256, 2, rank=8),
    Setting("512 × 8 on 2, Root", 512, 8, 8, 8, 1376, 8192, False, 256, 2, processes=2, sharding="FullShard"),
    Setting("512 × 8 on 2, PerLayer", 512, 8, 8, 8, 1376, 8192, False, 256, 2, 1, 2, "FullShard", "PerLayer"),
    Setting("llama-110m", 768, 12, 12, 12, 2048, 32000, True, 128, 1),
    Setting("512 × 8 on 2, unsharded", 512, 8, 8, 8, 1376, 8192, False, 256, 2, processes=2),
    Setting("256 × 8, recomputed", 256, 8, 8, 4, 704, 8192, False, 512, 2, checkpointing="Full"),
    Setting("128 × 24", 128, 24, 4, 4, 352, 1024, True, 1024, 1, 2),
    Setting("384 × 6, wide, few keys", 384, 6, 6, 2, 1536, 16384, False, 256, 4),
    Setting("llama-110m on 2, PerLayer, recomputed", 768, 12, 12, 12, 2048, 32000, True, 128, 1, 2, 2, *SHARDED),
    Setting("512 × 8 on 2, Root, LoRA", 512, 8, 8, 8, 1376, 8192, False, 256, 2, 1, 2, "FullShard", "Root", rank=8),
    Setting("256 × 8 on 2, Root, recomputed", 256, 8, 8, 4, 704, 8192, False, 512, 4, 1, 2, "FullShard", "Root", "Full"),
    Setting("512 × 8, 8 sequences, recomputed", 512, 8, 8, 8, 1376, 8192, False, 256, 8, checkpointing="Full"),
    Setting("512 × 8, 8 sequences", 512, 8, 8, 8, 1376, 8192, False, 256, 8),
    Setting("256 × 4, 4,096 tokens, recomputed", 256, 4, 4, 4, 704, 1024, True, 1024, 4, checkpointing="Full"),
    Setting("llama-110m, LoRA, recomputed", 768, 12, 12, 12, 2048, 32000, True, 128, 4, checkpointing="Full", rank=16),
)  # fmt: skip
"""Chosen before any was measured: presets, and sizes between them, so that each term of the formulas is large in some."""


def prepared(home: Path) -> Path:
    """A folder with a corpus and its finished product."""
    write_corpus(home / "corpus", DOCUMENTS)
    with supervised(home, run_config(home, stage="Prepare")) as run:
        assert run.wait() == [0], run.log
    return home


def prediction(setting: Setting) -> dict[str, Any]:
    """What the planner says, in bytes."""
    plan = predicted(setting)
    memory = plan.memory
    return {
        "expected": round(memory.expected_bytes),
        "safe": round(memory.safe_bytes),
        "model": round(memory.model_bytes),
        "baseline": round(memory.baseline),
        "podRequest": plan.memory_request_bytes,
        "peakPhase": memory.peak_phase,
        "phases": {phase: round(sum(terms.values())) for phase, terms in memory.terms.items()},
    }


def of_setting(setting: Setting, scratch: Path, data: Path) -> dict[str, Any]:
    """One row: the setting, what was foreseen and what was measured."""
    foreseen = prediction(setting)
    found = measure(setting, Home(scratch, data), tensors=True, limit=foreseen["podRequest"])
    return {"setting": asdict(setting), "predicted": foreseen, "measured": document(found)}


def document(found: Measured) -> dict[str, Any]:
    """Measured bytes."""
    pod = found.pod
    return {
        "resident": found.resident,
        "baseline": found.baseline,
        "tensors": max(found.tensors.values()),
        "tensorsByPhase": dict(sorted(found.tensors.items())),
        "pod": pod and {"anonymous": pod.anonymous, "charged": pod.peak, "timesAtTheLimit": pod.limit_hits},
        "landedUnderItsRequest": found.landed_under_limit,
    }


def errors(row: dict[str, Any]) -> dict[str, float]:
    """Relative errors, predicted ÷ measured − 1. `model`: without the runtime, against what the process grew by."""
    foreseen, found = row["predicted"], row["measured"]
    return {
        "expected": foreseen["expected"] / found["resident"] - 1,
        "safe": foreseen["safe"] / found["resident"] - 1,
        "model": foreseen["model"] / (found["resident"] - found["baseline"]) - 1,
        "tensors": foreseen["model"] / found["tensors"] - 1,
        "baseline": foreseen["baseline"] / found["baseline"] - 1,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Absolute errors over the settings, and how often admission would have been wrong."""
    all_errors = [errors(row) for row in rows]
    limited = [landed for row in rows if (landed := row["measured"]["landedUnderItsRequest"]) is not None]
    return {
        "settings": len(rows),
        "absoluteErrors": {
            name: {"median": round(statistics.median(sizes), 4), "worst": round(max(sizes), 4), "bias": round(bias, 4)}
            for name in all_errors[0]
            for sizes in [[abs(each[name]) for each in all_errors]]
            for bias in [statistics.fmean(each[name] for each in all_errors)]
        },
        "aboveSafe": sum(each["safe"] < 0 for each in all_errors),
        "meanSafeAboveResident": round(statistics.fmean(each["safe"] for each in all_errors), 4),
        "landedUnderTheirRequest": f"{sum(limited)} of {len(limited)}",
    }


def result(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The whole document."""
    return {
        "what": "memory of the CPU trainer, predicted before the run and measured; bytes of one process unless they say pod",
        "measured": format_time(datetime.now(UTC)),
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in VERSIONS}},
        "settings": {
            "steps": STEPS,
            "seed": 0,
            "documents": DOCUMENTS,
            "mallocMmapThreshold": os.environ.get("MALLOC_MMAP_THRESHOLD_", "default"),
        },
        "figures": summary(rows),
        "rows": [{**row, "errors": {name: round(value, 4) for name, value in errors(row).items()}} for row in rows],
    }


def table(rows: Iterable[dict[str, Any]]) -> str:
    """For readers, in MiB and per cent."""
    of_process = ("resident", "expected", "error", "without runtime", "safe", "above resident")
    columns = ("setting", "tensors", "predicted", "error", *of_process)
    lines = [f"| {' | '.join(columns)} |\n", "|---" * len(columns) + "|\n"]
    for row in rows:
        foreseen, found, off = row["predicted"], row["measured"], errors(row)
        mib = {key: f"{size / MIB:,.0f}" for key, size in (foreseen | found).items() if isinstance(size, int)}
        cells = [mib["tensors"], mib["model"], f"{off['tensors']:+.1%}", mib["resident"], mib["expected"]]
        cells += [f"{off['expected']:+.1%}", f"{off['model']:+.1%}", mib["safe"], f"{off['safe']:+.1%}"]
        lines.append(f"| {row['setting']['name']} | {' | '.join(cells)} |\n")
    return "".join(lines)


def main() -> None:
    """Measure, or predict again; write the document, say the table and the figures."""
    parser = argparse.ArgumentParser(description="Measure the CPU trainer's memory against the planner's prediction.")
    parser.add_argument("--out", type=Path, required=True, help="the result (JSON)")
    parser.add_argument("--measured", type=Path, help="an earlier result: what it measured is predicted again, not measured")
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that processes and cgroups are cleared away
    before = {} if wanted.measured is None else json.loads(wanted.measured.read_text(encoding="utf-8"))
    known = {row["setting"]["name"]: row for row in before.get("rows", ())}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="farthing-memory-") as scratch:
        data = Path(scratch) / "data"
        for number, setting in enumerate(SETTINGS):
            if setting.name in known:
                rows.append({**known[setting.name], "predicted": prediction(setting)})
            else:
                rows.append(of_setting(setting, Path(scratch) / str(number), data if data.exists() else prepared(data)))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
            write(wanted.out, result(rows) | {name: before[name] for name in ("measured", "machine", "versions") if before})
    print(table(rows), json.dumps(summary(rows), indent=2), sep="\n")


def write(path: Path, whole: dict[str, Any]) -> None:
    """As JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
