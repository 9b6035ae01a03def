"""Every error of the operator's side.

FarthingError                 base; `retryable` says whether the same call may succeed later
├── UserError                 the user's input cannot be obeyed: becomes `Stalled=True` or one line on stderr
│   ├── InvalidSpec           a field of a manifest: carries field, value and remedy
│   ├── UnknownAccelerator    not in the catalogue
│   ├── MissingPrice          a pool without a price that the budget could be held against
│   └── NoPlan                nothing legal fits model, pools and budget
├── LedgerError               an operation that would break the books: never retried, always a bug or a race lost
│   └── InsufficientBudget    the hold asked for does not fit limit − spent − held
├── ClusterError              the API server or a trainer did not do what was asked
│   ├── Conflict              409: another writer was first; re-read
│   ├── Refused               403/422: quota, admission, forbidden; carries the server's text
│   └── Unreachable           time-out or connection lost; retryable
└── LocalClusterError         the local cluster could not be built, started or stopped; says what to do
"""


class FarthingError(Exception):
    """Base of every error that Farthing raises on purpose."""

    retryable = False


class UserError(FarthingError):
    """What the user asked for cannot be done as written. `reason` is the condition's CamelCase reason."""

    reason = "InvalidSpec"


class InvalidSpec(UserError):
    """A field of a manifest is wrong: names the field, the value and the way out."""

    def __init__(self, field: str, value: object, remedy: str, *, reason: str = "InvalidSpec") -> None:
        super().__init__(f"{field}: {value!r} cannot be used: {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy
        self.reason = reason


class UnknownAccelerator(UserError):
    """An accelerator name that the catalogue does not have."""

    reason = "UnknownAccelerator"


class MissingPrice(UserError):
    """A pool without a usable price under a budget that counts money."""

    reason = "MissingPrice"


class NoPlan(UserError):
    """No legal plan fits; the message says which constraint killed each family and by how much."""

    reason = "NoPlan"


class LedgerError(FarthingError):
    """An operation that would break the books."""


class InsufficientBudget(LedgerError):
    """A hold that does not fit what is left."""


class ClusterError(FarthingError):
    """The cluster did not do what was asked."""


class Conflict(ClusterError):
    """Another writer was first (409): read again and decide anew."""

    retryable = True


class Refused(ClusterError):
    """The API server refused (403, 422: quota, admission, forbidden); `str(error)` is its text."""


class Unreachable(ClusterError):
    """No answer in time."""

    retryable = True


class LocalClusterError(FarthingError):
    """A part of the local cluster could not be built, started or stopped: names the part, the cause and the way out."""
