"""How an attempt ended, and what that means for retries."""

from enum import StrEnum


class Outcome(StrEnum):
    """The outcome on a spend record."""

    LANDED = "Landed"
    """Training finished: the schedule ended and the output is written."""
    PREPARED = "Prepared"
    """The prepare stage finished."""
    STOPPED = "Stopped"
    """Left with 143 after a checkpoint that an acknowledgement or the newest manifest proves."""
    LEASE_ENDED = "LeaseEnded"
    """A deadline ended it: trainer, supervisor, kubelet or Job controller."""
    DISRUPTED = "Disrupted"
    """Lost without its own fault: drain, preemption by others, lost node, 75."""
    FAILED = "Failed"
    """Crashed by its own fault."""
    OUT_OF_MEMORY = "OutOfMemory"
    """76 or OOMKilled: the planner steps down."""
    BAD_CONFIG = "BadConfig"
    """64: never retried until the spec changes."""
    PODS_READY_TIMEOUT = "PodsReadyTimeout"
    """Not all pods ready by startupTimeout: billed, shown as waste."""
    NEVER_STARTED = "NeverStarted"
    """No pod was ever bound: nothing is billed."""
    DELETED = "Deleted"
    """Its job was deleted while it ran."""

    @property
    def charges_backoff(self) -> bool:
        """Whether it counts against spec.backoffLimit."""
        return self in (Outcome.FAILED, Outcome.DISRUPTED, Outcome.PODS_READY_TIMEOUT)

    @property
    def finishes_stage(self) -> bool:
        """Whether the stage needs no further attempt."""
        return self in (Outcome.LANDED, Outcome.PREPARED)
