"""How a trainer process says why it ended. The pod failure policy of an attempt's Job names the same numbers."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of a trainer, of the prepare stage and of the supervisor (the worst of its children's)."""

    LANDED = 0
    """The run is finished: the schedule ended and the output is written."""
    BAD_CONFIG = 64
    """sysexits EX_USAGE: the run config or the data cannot be used; never retried."""
    TRY_AGAIN = 75
    """sysexits EX_TEMPFAIL: a peer or the storage was lost, or SIGTERM came before the handler stood."""
    OUT_OF_MEMORY = 76
    """Killed for memory or CUDA out of memory: the planner steps down; not charged to backoffLimit."""
    STOPPED = 143
    """128 + SIGTERM: stopped on request after a checkpoint; proven by an acknowledgement or the newest manifest."""


FAIL_JOB_EXIT_CODES = (64, 75, 76, 143)
"""Ascending: the API server refuses `onExitCodes.values` in any other order."""
