"""The life of a job as a total function: in which state it is × what is seen → which step to take.

Both states and observations are derived anew from each snapshot (`engine.situations`): nothing here remembers anything, so a
crash at any point changes nothing. Several observations may hold at once; they arrive in the order of their urgency, and the
first one whose cell is not REST decides.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum


class State(StrEnum):
    """Where a job stands, as its spend records and their children tell it."""

    NEW = "New"
    """Never looked at before."""
    INVALID = "Invalid"
    """Cannot be obeyed as written; shown as Stalled=True."""
    QUEUED = "Queued"
    """Wants accelerators."""
    OPENED = "Opened"
    """Its spend record is open; the Job is missing, or waits suspended for its gang."""
    STARTING = "Starting"
    """The Job exists; not every pod is ready."""
    RUNNING = "Running"
    """Every pod is ready."""
    STOPPING = "Stopping"
    """Asked or made to end; a container may still run."""
    ENDING = "Ending"
    """No container runs any more; the bill is open."""
    SUSPENDED = "Suspended"
    """spec.suspend, and nothing runs."""
    COMPLETE = "Complete"
    FAILED = "Failed"
    NOT_MANAGED = "NotManaged"
    """spec.managedBy names another controller."""
    DELETED = "Deleted"
    """Gone or going; its records are not settled yet."""


class Observation(StrEnum):
    """What is seen. The order is the order of urgency."""

    OVER = "Over"
    """No container of the attempt runs or can start."""
    HARD_END_PASSED = "HardEndPassed"
    """The hard end lies behind and nobody can say when the pods ended."""
    LEFTOVERS = "Leftovers"
    """Children or held pods of a settled attempt."""
    STALE_HOLD = "StaleHold"
    """A hold that no record stands for, older than the startup timeout."""
    ACKNOWLEDGED = "Acknowledged"
    """A stop was asked for and its checkpoint is durable."""
    UNANSWERED = "Unanswered"
    """A stop was asked for; two POSTs failed, the deadline passed, the save failed or nobody is there to ask."""
    ASKED = "Asked"
    """A stop is written in the status and not answered yet."""
    LATE = "Late"
    """Not every pod ready within startupTimeout."""
    DELETE_WANTED = "DeleteWanted"
    """The job is being deleted."""
    SUSPEND_WANTED = "SuspendWanted"
    JOB_GONE = "JobGone"
    """Pods run without their Job (deleted with orphaned children)."""
    PREEMPTED = "Preempted"
    """The policy gives its accelerators to another job."""
    SHRUNK = "Shrunk"
    """What is held no longer buys the lease to its end."""
    PRICE_MOVED = "PriceMoved"
    BOUND = "Bound"
    """All pods are bound: the Job's deadline can come down to the lease's."""
    HALF_MADE = "HalfMade"
    """The record stands; the Job does not."""
    GANG_FITS = "GangFits"
    """The Job is suspended and its whole gang fits."""
    CHOSEN = "Chosen"
    """The policy starts it."""
    WAITING = "Waiting"
    """The policy, the budget or a missing plan lets it wait."""
    EXPIRED = "Expired"
    """ttlSecondsAfterFinished has passed."""


class Step(StrEnum):
    """What the cycle does for one job."""

    REST = "Rest"
    OPEN = "Open"
    """Reserve and start an attempt."""
    CONTINUE = "Continue"
    """Go on with a start that was cut off, in the same order under the same names."""
    RELEASE = "Release"
    """Let a suspended Job run."""
    ASK = "Ask"
    """Write a checkpoint request into the status."""
    POST = "Post"
    """Send the request that is written."""
    END = "End"
    """Lower the Job's deadline to now."""
    SHORTEN = "Shorten"
    """Trainer first, then the Job's deadline."""
    TIGHTEN = "Tighten"
    """Lower the Job's deadline to the lease's end, counted from the first bind."""
    QUOTE = "Quote"
    SETTLE = "Settle"
    CLEAN = "Clean"
    RELEASE_HOLD = "ReleaseHold"
    WAIT = "Wait"
    DELETE = "Delete"


_S, _O = State, Observation

_WITHOUT_ATTEMPT: Mapping[Observation, Step] = {_O.LEFTOVERS: Step.CLEAN, _O.STALE_HOLD: Step.RELEASE_HOLD}
"""Duties of every state in which no bill is open."""

_WAITING: Mapping[Observation, Step] = {**_WITHOUT_ATTEMPT, _O.CHOSEN: Step.OPEN, _O.WAITING: Step.WAIT}

_WITH_ATTEMPT: Mapping[Observation, Step] = {
    _O.OVER: Step.SETTLE,
    _O.HARD_END_PASSED: Step.SETTLE,
    _O.LEFTOVERS: Step.CLEAN,
    _O.STALE_HOLD: Step.RELEASE_HOLD,
}
"""Duties of every state in which a bill is open."""

_LIVE: Mapping[Observation, Step] = {
    **_WITH_ATTEMPT,
    _O.DELETE_WANTED: Step.ASK,
    _O.SUSPEND_WANTED: Step.ASK,
    _O.PREEMPTED: Step.ASK,
    _O.LATE: Step.END,
    _O.SHRUNK: Step.SHORTEN,
    _O.PRICE_MOVED: Step.QUOTE,
    _O.BOUND: Step.TIGHTEN,
}

_FINISHED: Mapping[Observation, Step] = {**_WITHOUT_ATTEMPT, _O.EXPIRED: Step.DELETE}

_CELLS: Mapping[State, Mapping[Observation, Step]] = {
    _S.NEW: _WAITING,
    _S.INVALID: {**_WITHOUT_ATTEMPT, _O.WAITING: Step.WAIT},
    _S.QUEUED: _WAITING,
    _S.OPENED: {
        **_WITH_ATTEMPT,
        _O.HALF_MADE: Step.CONTINUE,
        _O.GANG_FITS: Step.RELEASE,
    },
    _S.STARTING: _LIVE,
    # A gang that was once complete lost a pod's readiness or it did not: the startup timeout no longer speaks.
    _S.RUNNING: {**_LIVE, _O.LATE: Step.REST},
    _S.STOPPING: {
        **_WITH_ATTEMPT,
        _O.ACKNOWLEDGED: Step.END,
        _O.UNANSWERED: Step.END,
        _O.ASKED: Step.POST,
        _O.LATE: Step.END,
        _O.JOB_GONE: Step.ASK,
        _O.SHRUNK: Step.SHORTEN,
        _O.PRICE_MOVED: Step.QUOTE,
        _O.BOUND: Step.TIGHTEN,
    },
    _S.ENDING: {**_WITH_ATTEMPT},
    _S.SUSPENDED: _WITHOUT_ATTEMPT,
    _S.COMPLETE: _FINISHED,
    _S.FAILED: _FINISHED,
    # Another controller's job: only what Farthing itself made for it is put in order.
    _S.NOT_MANAGED: _WITH_ATTEMPT,
    _S.DELETED: {**_WITH_ATTEMPT, _O.LATE: Step.END, _O.DELETE_WANTED: Step.END, _O.JOB_GONE: Step.REST},
}

TABLE: Mapping[tuple[State, Observation], Step] = {
    (state, observation): _CELLS[state].get(observation, Step.REST) for state in State for observation in Observation
}
"""Every pair. What a state does not name is REST."""


def next_step(state: State, observations: Iterable[Observation]) -> tuple[Step, Observation | None]:
    """The first step that is not REST, and the observation that asks for it; (REST, None) when nothing does."""
    for observation in observations:
        step = TABLE[state, observation]
        if step is not Step.REST:
            return step, observation
    return Step.REST, None
