"""Attempts, records and plans for the ledger's tests, each with defaults that read as an ordinary run."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from farthing.api.amounts import Axis, amounts
from farthing.api.base import ObjectMeta
from farthing.api.spend import NestedEndsSpec, Quote, RecordOwner, SpendRecord, SpendRecordSpec, SpendRecordStatus
from farthing.contract.progress import CheckpointReport, Progress, SecondsByCause
from farthing.domain.decision import NestedEnds
from farthing.domain.plan import Allocation, MemoryEstimate, Plan, Prediction, Strategy
from farthing.domain.snapshot import Attempt, JobFacts, PodFacts
from farthing.ledger.arithmetic import accelerator_hours, money, ticks
from farthing.units import format_time

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NAME = "lm-abcde-1"
ENDS = NestedEnds(trainer=170, supervisor=190, pod=193, job=195, hard=216, grace=12, startup_timeout=60)


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def quote(price: str | None = "0.5", *, at: float = 0) -> Quote:
    return Quote(from_time=format_time(after(at)), per_accelerator_hour=price, currency="USD", source="example")


def holding(price: str | None, ends: NestedEnds, accelerators: int) -> dict[Axis, Decimal]:
    """What a lease with these ends sets aside for time."""
    held = {Axis.ACCELERATOR_HOURS: accelerator_hours(accelerators, ends.hard)}
    return held if price is None else {**held, Axis.COST: money(ticks(Decimal(price), accelerators, ends.hard))}


def record(
    *,
    number: int = 1,
    pods: int = 2,
    price: str | None = "0.5",
    ends: NestedEnds = ENDS,
    held: dict[Axis, Decimal] | None = None,
    status: SpendRecordStatus | None = None,
    **spec: Any,
) -> SpendRecord:
    name = f"lm-abcde-{number}"
    values: dict[str, Any] = {
        "job": RecordOwner(name="lm", uid="u1"),
        "attempt": name,
        "number": number,
        "stage": "Train",
        "pool": "cpu",
        "accelerator": "cpu-slot",
        "pods": pods,
        "accelerators_per_pod": 1,
        "quote": quote(price),
        "held": amounts(holding(price, ends, pods) if held is None else held),
        "ends": NestedEndsSpec(
            trainer=ends.trainer,
            supervisor=ends.supervisor,
            pod=ends.pod,
            job=ends.job,
            hard=ends.hard,
            grace=ends.grace,
            startup_timeout=ends.startup_timeout,
        ),
        "opened_at": format_time(T0),
        "peak_flops_per_second": "1e9",
    }
    return SpendRecord(
        metadata=ObjectMeta(name=name, namespace="team"),
        spec=SpendRecordSpec(**{**values, **spec}),
        status=status or SpendRecordStatus(),
    )


def pod(index: int = 0, **facts: Any) -> PodFacts:
    """A pod that ran from second 1 to second 100 and left with 0, but for what is said otherwise."""
    values: dict[str, Any] = {
        "name": f"{NAME}-{index}",
        "uid": f"p{index}",
        "index": index,
        "phase": "Succeeded" if facts.get("exit_code", 0) == 0 else "Failed",
        "node": "n1",
        "bound_at": after(1),
        "started_at": after(1),
        "finished_at": after(100),
        "exit_code": 0,
    }
    return PodFacts(**{**values, **facts})


def running(index: int = 0, **facts: Any) -> PodFacts:
    return pod(index, **{"phase": "Running", "finished_at": None, "exit_code": None, **facts})


def unbound(index: int = 0, **facts: Any) -> PodFacts:
    never = {"bound_at": None, "started_at": None, "finished_at": None, "exit_code": None, "node": None, "phase": "Pending"}
    return pod(index, **{**never, **facts})


def job(**facts: Any) -> JobFacts:
    values: dict[str, Any] = {"name": NAME, "uid": "j1", "suspended": False, "started_at": after(0), "created_at": after(0)}
    return JobFacts(**{**values, **facts})


def attempt(*pods: PodFacts, **facts: Any) -> Attempt:
    return Attempt(**{"record": record(), "job": job(), "pods": pods, **facts})


def checkpoint(step: int, tokens: int) -> CheckpointReport:
    return CheckpointReport(
        step=step, tokens=tokens, uri="file:///c", digest="d", time=format_time(after(50)), seconds=1.5, bytes=10
    )


def progress(step: int = 100, **facts: Any) -> Progress:
    """A report of a trainer that resumed nothing and has made `step` steps of 1000 tokens."""
    values: dict[str, Any] = {
        "attempt": NAME,
        "stage": "Train",
        "phase": "Training",
        "started": format_time(after(3)),
        "step": step,
        "tokens": step * 1000,
        "tokens_processed": step * 1000,
        "flops": step * 1e8,
        "first_step": 1,
        "seconds": SecondsByCause(startup=10, train=70, checkpoint=5, evaluation=3),
    }
    return Progress(**{**values, **facts})


def settled(number: int, **facts: Any) -> SpendRecord:
    """A settled record; `charged` by axis."""
    charged = amounts(facts.pop("charged", {}))
    return record(number=number, status=SpendRecordStatus(phase="Settled", charged=charged, **facts))


def plan(*, pods: int = 2, per_pod: int = 1, price: float | None = 1.0, pool: str = "cpu", startup: float = 10.0) -> Plan:
    def point(value: float, unit: str = "s") -> Prediction:
        return Prediction(value, 0.1, unit, "test")

    return Plan(
        allocation=Allocation(pool, "cpu-slot", pods, per_pod),
        strategy=Strategy("float32", "FullShard", "Root", "None", 1, 1, "None"),
        memory=MemoryEstimate({"step": {"states": 1e6}}, 0.9e9, 1.2),
        memory_request_bytes=10**9,
        shm_bytes=0,
        step_seconds=point(0.2),
        tokens_per_second=point(7000, "tokens/s"),
        startup_seconds=Prediction(startup, 0.1, "s", "test"),
        checkpoint_seconds=point(1.5),
        tokens=point(1e6, "tokens"),
        seconds=point(150),
        cost=None,
        flops=point(1e12, "FLOPs"),
        loss=None,
        flops_per_token=6e6,
        peak_flops_per_second=1e11,
        price_per_hour=price,
        binding="tokens",
    )
