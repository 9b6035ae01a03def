"""What the exit status says: one number for each answer that a script would want to tell apart."""

from enum import IntEnum

from farthing.errors import ClusterError, FarthingError, NoPlan, Refused, Unreachable, UserError


class Exit(IntEnum):
    """Exit status of every verb."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    UNFINISHED = 5
    REFUSED = 6
    INTERRUPTED = 130


MEANING = {
    Exit.OK: "done as asked",
    Exit.FAILED: "not done: a job failed, no plan fits, a check did not hold, a program ended badly",
    Exit.USAGE: "a wrong option, or a manifest that cannot be used",
    Exit.NOT_FOUND: "no such object",
    Exit.UNREACHABLE: "no answer from the cluster",
    Exit.UNFINISHED: "still going on when --timeout ran out",
    Exit.REFUSED: "the API server refused: rights, quota, admission",
    Exit.INTERRUPTED: "interrupted from the keyboard",
}
"""One sentence each, as `--help` and docs/cli.md tell them."""


class NotFound(FarthingError):
    """An object that was named does not exist."""


class NotFinished(FarthingError):
    """What was waited for had not happened when the time was up."""


class Failed(FarthingError):
    """What was asked for ended badly; the message says what and where to look."""


def exit_code(error: FarthingError) -> Exit:
    """The exit status that stands for an error."""
    by_kind: tuple[tuple[type[FarthingError], Exit], ...] = (
        (NotFound, Exit.NOT_FOUND),
        (NotFinished, Exit.UNFINISHED),
        (NoPlan, Exit.FAILED),
        (UserError, Exit.USAGE),
        (Unreachable, Exit.UNREACHABLE),
        (Refused, Exit.REFUSED),
        (ClusterError, Exit.FAILED),
    )
    return next((code for kind, code in by_kind if isinstance(error, kind)), Exit.FAILED)
