"""Where a resource got to: whether its status says so in a way that a person can act on."""

from farthing.api import BudgetedTrainingJob
from farthing.api.conditions import Condition, ConditionType, find
from farthing.engine.lifecycle import State

GOES_ON = {State.OPENED, State.STARTING, State.RUNNING, State.STOPPING, State.ENDING, "Preparing", "Landing"}
NAMED = {
    "Stalled": ConditionType.STALLED,
    State.FAILED: ConditionType.FAILED,
    State.COMPLETE: ConditionType.COMPLETE,
    State.SUSPENDED: ConditionType.SUSPENDED,
}
"""The condition that says why a job is where it is."""


def job_verdict(job: BudgetedTrainingJob) -> str:
    """Its state, where it goes on or a condition says in a sentence why it does not; else empty."""
    status = job.status
    if status.state in GOES_ON:
        return str(status.state)
    if status.state in NAMED:
        return str(status.state) if _said(status.conditions, NAMED[status.state]) else ""
    waits = find(status.conditions, ConditionType.ADMITTED)
    return str(status.state) if waits is not None and waits.status == "False" and waits.message else ""


def answered(conditions: list[Condition]) -> bool:
    """A pool or an account: Ready, or the reason why not."""
    ready = find(conditions, ConditionType.READY)
    return ready is not None and (ready.status == "True" or bool(ready.message))


def _said(conditions: list[Condition], kind: ConditionType) -> bool:
    found = find(conditions, kind)
    return found is not None and found.status == "True" and bool(found.reason) and bool(found.message)
