"""What each named term of the estimates buys: the errors on the same rows with that term taken away, constants as shipped.

Part of `python -m tests.benchmarks.estimators`. A term's bytes or exposed seconds become 0; constants are not fitted again: if
another term could take over its work, this shows what the shipped estimate owes to it, not the best estimate without it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from farthing.estimates.configuration import Configurations, Floats
from farthing.estimates.constants_memory import MemoryConstants
from farthing.estimates.constants_time import TimeConstants
from farthing.estimates.memory import estimate_memory
from farthing.estimates.memory.allocator import context_bytes, reserved_factor, safe_factor
from farthing.estimates.memory.phases import phases
from farthing.estimates.results import MemoryBreakdown, Terms
from farthing.estimates.rows import MeasuredRows, read_rows
from farthing.estimates.scoring import averaged, by_group, merged_groups
from farthing.estimates.throughput import estimate_time

ALONE = "vtrain"
"""Scored apart: it alone holds launch costs, and more than half of the rows."""
PARTS_OF_MEMORY = ("norm_bytes", "score_bytes", "gradient_width_bytes")
"""Constants that are a part of a term of their own: 0 takes it away."""
PARTS_OF_TIME = (
    "balance_exponent", "gemm_fixed", "gemm_traffic", "kernel_fixed", "launch_softmax", "launch_unit", "launch_adapter",
    "launch_expert", "hop_latency", "collective_launch", "step_fixed",
)  # fmt: skip


def ablation(rows: MeasuredRows, text: str) -> dict[str, Any]:
    """Both tables: error as it is, and by what is taken away. `text` is the file that the rows were read from."""
    return {"memory": memory_ablation(rows.take(rows.for_memory), text), "throughput": time_ablation(rows.take(rows.for_time))}


def memory_ablation(rows: MeasuredRows, text: str) -> dict[str, Any]:
    """Peaks on each row's own metric; most worsening first."""
    c, k = rows.configurations, MemoryConstants()
    terms = phases(c, k)
    names = dict.fromkeys(name for phase in terms.values() for name, value in phase.items() if np.any(value > 0))
    nothing = np.zeros(len(c))
    found = {"as shipped": _memory_error(rows, estimate_memory(c))}
    for name in names:
        found[name] = _memory_error(rows, _breakdown(c, without(terms, name), k))
    for name in PARTS_OF_MEMORY:
        found[f"part: {name}"] = _memory_error(rows, estimate_memory(c, replace(k, **{name: 0.0})))
    whole = estimate_memory(c)
    found["fragments (reserved = allocated)"] = _memory_error(rows, replace(whole, reserved_factor=np.ones(len(c))))
    found["context"] = _memory_error(rows, replace(whole, context=nothing))
    found["phases (their terms added up instead of the largest phase)"] = _memory_error(rows, _added_up(whole))
    plain = read_rows(text)
    general = read_rows(_without_framework(text))
    found["framework policies"] = _memory_error(general.take(_for_memory_of(plain, general)), None)
    return _by_effect(found, lambda error: error["median"])


def time_ablation(rows: MeasuredRows) -> dict[str, Any]:
    """Tokens/s of one device; vTrain apart, as it holds more than half of the rows."""
    c, k = rows.configurations, TimeConstants()
    whole = estimate_time(c, k)
    found = {"as shipped": _time_error(rows, whole.tokens_per_second_per_device)}
    for name, seconds in whole.terms.items():
        if np.any(seconds > 0):
            rest = replace(whole, terms={each: value for each, value in whole.terms.items() if each != name})
            found[name] = _time_error(rows, rest.tokens_per_second_per_device)
    for name in PARTS_OF_TIME:
        speed = estimate_time(c, replace(k, **{name: 0.0})).tokens_per_second_per_device
        found[f"part: {name}"] = _time_error(rows, speed)
    return _by_effect(found, lambda error: error["others"]["median"] + error["vtrain"]["median"])


def without(terms: Terms, name: str) -> Terms:
    """The phases with nothing where the term was."""
    return {
        phase: {each: np.zeros_like(value) if each == name else value for each, value in named.items()}
        for phase, named in terms.items()
    }


def _breakdown(c: Configurations, terms: Terms, k: MemoryConstants) -> MemoryBreakdown:
    return MemoryBreakdown(terms, context_bytes(c, k), reserved_factor(c, terms, k), safe_factor(terms, k))


def _added_up(whole: MemoryBreakdown) -> MemoryBreakdown:
    """One phase that has each term at its largest: what an estimate without phases would add up."""
    largest: dict[str, Floats] = {}
    for named in whole.terms.values():
        for name, value in named.items():
            largest[name] = np.maximum(largest.get(name, 0.0), value)
    return replace(whole, terms={"all": largest})


def _without_framework(text: str) -> str:
    """The file with its column `framework` under another name: every row gets the general assumptions."""
    head, rest = text.split("\n", 1)
    return ",".join(f"{name}_" if name == "framework" else name for name in head.split(",")) + "\n" + rest


def _for_memory_of(plain: MeasuredRows, general: MeasuredRows) -> Any:
    """Rows of `general` that are scored where policies are known, whatever metric they have without."""
    return general.for_memory & np.isin(general.ids, plain.ids[plain.for_memory])


def _memory_error(rows: MeasuredRows, breakdown: MemoryBreakdown | None) -> dict[str, float]:
    predicted = rows.predicted_peak(breakdown or estimate_memory(rows.configurations))
    return _error(by_group(merged_groups(rows), predicted, rows.peak))


def _time_error(rows: MeasuredRows, speed: Floats) -> dict[str, dict[str, float]]:
    scores = by_group(merged_groups(rows), speed, rows.tokens_per_s_per_gpu)
    apart = [each for each in scores if each.group == ALONE]
    rest = [each for each in scores if each.group != ALONE]
    return {kind: _error(some) for kind, some in (("others", rest), ("vtrain", apart)) if some}


def _error(scores: Any) -> dict[str, float]:
    score = averaged(scores)
    return {name: round(getattr(score, name), 4) for name in ("median", "p95", "bias")}


def _by_effect(found: Mapping[str, Any], size: Callable[[Any], float]) -> dict[str, Any]:
    """As shipped first, then by what their absence costs."""
    first, *others = found.items()
    return dict([first, *sorted(others, key=lambda item: -size(item[1]))])
