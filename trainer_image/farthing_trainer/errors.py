"""What a trainer raises on purpose; everything else is a fault of a peer, of the storage or of the program."""

from farthing.contract.exit_codes import ExitCode


class BadInput(Exception):
    """The run config or the data cannot be used: exit code 64, never retried."""

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(f"{field}: {value!r} cannot be used: {remedy}")
        self.field = field


class Leave(Exception):
    """The run ends here, and says why: carries the exit code and the CamelCase reason of the last word."""

    def __init__(self, code: ExitCode, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.code = code
        self.reason = reason
        self.message = message
