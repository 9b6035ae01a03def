"""A start, written down in full: the spend record carries all that its children are made from.

Whoever finds a record without its Job rebuilds the same start from it, byte for byte: a start that was cut off goes on under
the same names with the same ends, whatever the spec, the prices or the settings say by then.
"""

import json
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final

from pydantic import TypeAdapter

from farthing.api import SpendRecord
from farthing.api.amounts import amounts
from farthing.api.job import BudgetSpec
from farthing.api.spend import NestedEndsSpec
from farthing.contract.runconfig import RunConfig
from farthing.domain.decision import Because, Lease, NestedEnds, OpenAttempt
from farthing.domain.plan import Plan
from farthing.planner.corrections import UNEXPLAINED
from farthing.planner.evidence import THROUGHPUT
from farthing.units import LARGEST_COUNT, format_bytes, format_whole

ANNOTATION_PLAN: Final = "farthing.dev/plan"
ANNOTATION_RUN_CONFIG: Final = "farthing.dev/run-config"
ANNOTATION_BECAUSE: Final = "farthing.dev/because"
ANNOTATION_GENERATION: Final = "farthing.dev/generation"
"""metadata.generation of the job when the attempt was opened: a bad config is tried again only after the spec changed."""
ANNOTATION_BUDGET: Final = "farthing.dev/budget"
"""spec.budget of the job when the attempt was opened: a run that landed goes on only where it was raised since."""

_PLAN: Final = TypeAdapter(Plan)
_BECAUSE: Final = TypeAdapter(Because)


def annotations(action: OpenAttempt, generation: int, budget: BudgetSpec) -> dict[str, str]:
    """What the record carries beside its spec."""
    return {
        ANNOTATION_PLAN: _PLAN.dump_json(action.plan).decode(),
        ANNOTATION_RUN_CONFIG: action.run_config.to_json(),
        ANNOTATION_BECAUSE: _BECAUSE.dump_json(action.because).decode(),
        ANNOTATION_GENERATION: str(generation),
        ANNOTATION_BUDGET: json.dumps(budget.to_dict()),
    }


def plan_of(record: SpendRecord) -> Plan | None:
    """The plan that the attempt was opened with; None where the record carries none (written by hand)."""
    text = record.metadata.annotations.get(ANNOTATION_PLAN)
    return None if text is None else read_plan(text)


def read_plan(text: str) -> Plan:
    """The plan in the text of ANNOTATION_PLAN."""
    return _PLAN.validate_json(text)


def taught(plan: Plan) -> str:
    """What measurements changed of the formulas' speed and memory, in words, with whose they are; empty where none did."""
    _, found, words = plan.tokens_per_second.source.partition(f"; {THROUGHPUT} × ")
    missed = plan.memory.terms[plan.memory.peak_phase].get(UNEXPLAINED, 0.0)
    memory = f"memory {'+' if missed > 0 else '-'} {format_bytes(abs(missed))} as measured" if missed else ""
    return "; ".join(part for part in (f"{THROUGHPUT} × {words}" if found else "", memory) if part)


def because_of(record: SpendRecord) -> Because | None:
    """Why the attempt was opened."""
    text = record.metadata.annotations.get(ANNOTATION_BECAUSE)
    return None if text is None else _BECAUSE.validate_json(text)


def run_config_of(record: SpendRecord) -> RunConfig | None:
    """What its pods are told."""
    text = record.metadata.annotations.get(ANNOTATION_RUN_CONFIG)
    return None if text is None else RunConfig.model_validate_json(text)


def generation_of(record: SpendRecord) -> int:
    """The generation of the spec that the attempt was opened for; 0 where it is not known."""
    return int(record.metadata.annotations.get(ANNOTATION_GENERATION, "0"))


def budget_of(record: SpendRecord) -> BudgetSpec | None:
    """What its job might spend when the attempt was opened."""
    text = record.metadata.annotations.get(ANNOTATION_BUDGET)
    return None if text is None else BudgetSpec.model_validate_json(text)


def reopened(record: SpendRecord, job_key: str) -> OpenAttempt | None:
    """The same start once more; None where the record does not carry it."""
    plan, config, because = plan_of(record), run_config_of(record), because_of(record)
    if plan is None or config is None or because is None:
        return None
    return OpenAttempt(
        job=job_key,
        attempt=record.spec.attempt,
        number=record.spec.number,
        stage=record.spec.stage,
        plan=plan,
        lease=_lease(record, config, plan),
        run_config=config,
        because=because,
    )


def _lease(record: SpendRecord, config: RunConfig, plan: Plan) -> Lease:
    budget = config.lease.budget_end
    return Lease(
        ends=ends_of(record),
        held=record.spec.held.as_decimals(),
        quote=record.spec.quote,
        flops=config.lease.trainer_end.flops,
        tokens=config.lease.trainer_end.tokens,
        lands=budget.seconds is not None or budget.not_after is not None,
        binding=plan.binding,
    )


def ends_of(record: SpendRecord) -> NestedEnds:
    """The nested ends that the record fixes."""
    return NestedEnds(**record.spec.ends.model_dump())


def record_spec(
    action: OpenAttempt, *, name: str, uid: str, account: str | None, opened_at: str, memory_step: int
) -> dict[str, Any]:
    """`spec` of the SpendRecord of a start."""
    plan, lease = action.plan, action.lease
    peak = plan.peak_flops_per_second
    spec: dict[str, Any] = {
        "job": {"name": name, "uid": uid},
        "attempt": action.attempt,
        "number": action.number,
        "stage": action.stage,
        "pool": plan.allocation.pool,
        "accelerator": plan.allocation.accelerator,
        "pods": plan.allocation.pods,
        "acceleratorsPerPod": plan.allocation.accelerators_per_pod,
        "quote": lease.quote.to_dict(),
        "held": amounts(lease.held).to_dict(),
        "ends": NestedEndsSpec(**asdict(lease.ends)).to_dict(),
        "openedAt": opened_at,
        "memoryStep": memory_step,
    }
    optional = {
        "account": account,
        "peakFlopsPerSecond": format_whole(Decimal(peak)) if peak else None,
        "flopsLease": None if lease.flops is None else format_whole(min(Decimal(lease.flops), LARGEST_COUNT)),
    }
    return spec | {key: value for key, value in optional.items() if value is not None}
