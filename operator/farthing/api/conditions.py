"""metav1 conditions, and the types and reasons that Farthing sets."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from farthing.api.base import StatusModel, Timestamp


class ConditionType(StrEnum):
    """Condition types of a BudgetedTrainingJob; `Reconciling` and `Stalled` are kstatus' abnormal-true pair."""

    PLANNED = "Planned"
    ADMITTED = "Admitted"
    CAPACITY_READY = "CapacityReady"
    PODS_READY = "PodsReady"
    CHECKPOINTED = "Checkpointed"
    BUDGET_AT_RISK = "BudgetAtRisk"
    LANDING = "Landing"
    COMPLETE = "Complete"
    FAILED = "Failed"
    SUSPENDED = "Suspended"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    READY = "Ready"
    """Pools and accounts: usable."""


class Reason(StrEnum):
    """Condition and decision reasons. A closed list: dashboards and tests key on it."""

    PLANNED = "Planned"
    NO_PLAN = "NoPlan"
    NEVER_FITS = "NeverFits"
    INVALID_SPEC = "InvalidSpec"
    INTERNAL_ERROR = "InternalError"
    UNKNOWN_ACCELERATOR = "UnknownAccelerator"
    UNKNOWN_PRESET = "UnknownPreset"
    MISSING_PRICE = "MissingPrice"
    CURRENCY_MISMATCH = "CurrencyMismatch"
    NO_POOL = "NoPool"
    UNMETERED_AXIS = "UnmeteredAxis"
    ACCOUNT_NOT_FOUND = "AccountNotFound"
    ACCOUNT_EXHAUSTED = "AccountExhausted"
    STORAGE_NOT_FOUND = "StorageNotFound"
    STORAGE_NOT_SHARED = "StorageNotShared"
    PRIORITY_CLASS_NOT_FOUND = "PriorityClassNotFound"
    DEADLINE_PASSED = "DeadlinePassed"
    REFUSED = "Refused"
    BAD_CONFIG = "BadConfig"
    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    STARTED = "Started"
    RELEASED = "Released"
    PODS_READY_TIMEOUT = "PodsReadyTimeout"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    PREEMPTED = "Preempted"
    PREEMPTING = "Preempting"
    STOPPED = "Stopped"
    CHECKPOINT_DURABLE = "CheckpointDurable"
    CHECKPOINT_FAILED = "CheckpointFailed"
    LANDING = "Landing"
    LANDED = "Landed"
    BUDGET_EXHAUSTED = "BudgetExhausted"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    BACKOFF_LIMIT_EXCEEDED = "BackoffLimitExceeded"
    OUT_OF_MEMORY = "OutOfMemory"
    DISRUPTED = "Disrupted"
    NODE_UNREACHABLE = "NodeUnreachable"
    PRICE_CHANGED = "PriceChanged"
    ENDED = "Ended"
    SETTLED = "Settled"
    TTL_EXPIRED = "TTLExpired"
    DELETED = "Deleted"
    NOT_MANAGED = "NotManaged"
    OK = "OK"


class Condition(StatusModel):
    """One metav1.Condition; at most one of each type in a status."""

    type: Annotated[str, Field(max_length=64)]
    """What is observed."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Field(max_length=128)]
    """One CamelCase word: why."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """Why, in a sentence."""
    last_transition_time: Timestamp
    """When the status last changed."""
    observed_generation: int | None = Field(default=None, ge=0)
    """The generation of the spec that this was said about."""


def find(conditions: list[Condition], kind: ConditionType) -> Condition | None:
    """The condition of that type, or None."""
    return next((condition for condition in conditions if condition.type == kind), None)


def is_true(conditions: list[Condition], kind: ConditionType) -> bool:
    """Whether the condition of that type stands at True."""
    condition = find(conditions, kind)
    return condition is not None and condition.status == "True"
