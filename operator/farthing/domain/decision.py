"""Decisions as data: what the cycle will do to one job, why, and the numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from farthing.api import SpendRecord
from farthing.api.amounts import Axis
from farthing.api.spend import Quote, SpendRecordStatus
from farthing.contract.handshake import CheckpointRequest, LeaseUpdate
from farthing.contract.runconfig import RunConfig, Stage
from farthing.domain.plan import Plan

Amounts = Mapping[Axis, Decimal]


@dataclass(frozen=True, slots=True)
class NestedEnds:
    """The ends of an attempt in whole seconds from the first pod bound; trainer < supervisor < pod ≤ job < hard."""

    trainer: int
    supervisor: int
    pod: int
    job: int
    hard: int
    grace: int
    startup_timeout: int


@dataclass(frozen=True, slots=True)
class Lease:
    """Authority to spend, granted ahead: what is set aside, at which quote, until when."""

    ends: NestedEnds
    held: Amounts
    quote: Quote
    flops: float | None
    """FLOPs that the attempt may execute; None: unlimited."""
    tokens: int | None
    """Limit of the surviving lineage; None: unlimited."""
    lands: bool
    """Whether this lease ends because the budget does: only then it lands."""
    binding: str


@dataclass(frozen=True, slots=True)
class Because:
    """Why: a CamelCase reason of `api.conditions.Reason`, a sentence, and the numbers behind it."""

    reason: str
    message: str = ""
    numbers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """Reserve and start: account hold → SpendRecord → Secret, ConfigMap, Service → Job, in this order, each POSTed once."""

    job: str
    attempt: str
    number: int
    stage: Stage
    plan: Plan
    lease: Lease
    run_config: RunConfig
    because: Because


@dataclass(frozen=True, slots=True)
class ReleaseAttempt:
    """Let the Job that was created suspended run: its whole gang fits."""

    job: str
    attempt: str
    because: Because


@dataclass(frozen=True, slots=True)
class LowerDeadline:
    """Set the Job's activeDeadlineSeconds; only ever to less. `seconds` counts from the Job's start; 1 ends it now."""

    job: str
    attempt: str
    seconds: int
    because: Because


@dataclass(frozen=True, slots=True)
class EndPods:
    """Delete the pods of an attempt whose Job is gone: there is no deadline left that could be lowered."""

    job: str
    attempt: str
    because: Because


@dataclass(frozen=True, slots=True)
class RequestCheckpoint:
    """Write the request to the job's status, then POST it to rank 0."""

    job: str
    attempt: str
    request: CheckpointRequest
    deadline: datetime
    because: Because


@dataclass(frozen=True, slots=True)
class UpdateLease:
    """Tell the running trainer new ends; shorter ones go trainer → Job → ledger, longer ones ledger → Job → trainer."""

    job: str
    attempt: str
    update: LeaseUpdate
    because: Because


@dataclass(frozen=True, slots=True)
class AppendQuote:
    """A new price from this boundary on, before the reserve."""

    job: str
    attempt: str
    quote: Quote
    because: Because


@dataclass(frozen=True, slots=True)
class SettleAttempt:
    """Close the bill: record → account (or job) balance → finalizers off the pods → children deleted."""

    job: str
    attempt: str
    record: SpendRecord
    status: SpendRecordStatus
    because: Because
    job_deleted: bool = False
    """The training job is known to be gone or on its way: what the bill's outcome is told with."""


@dataclass(frozen=True, slots=True)
class CleanUpAttempt:
    """Remove finalizers and children of an attempt whose bill is settled already."""

    job: str
    attempt: str
    because: Because


@dataclass(frozen=True, slots=True)
class ReleaseHold:
    """Drop a hold that no open record stands for: a crash after the first write of a start, or after that of a settlement."""

    job: str
    attempt: str
    account: str | None
    because: Because


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """ttlSecondsAfterFinished has passed."""

    job: str
    because: Because


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing to do now, and why: shown in conditions, no event while unchanged."""

    job: str
    because: Because


Action = (
    OpenAttempt
    | ReleaseAttempt
    | LowerDeadline
    | EndPods
    | RequestCheckpoint
    | UpdateLease
    | AppendQuote
    | SettleAttempt
    | CleanUpAttempt
    | ReleaseHold
    | DeleteJob
    | Hold
)
