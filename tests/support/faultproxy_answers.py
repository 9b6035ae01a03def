"""Answers that the API server did not give: errors in the place of an answer, errors after a deed, and lists of yesterday."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Fault:
    """An error. `status` 0: the connection is cut. `done`: what was asked for stands all the same."""

    status: int = 0
    reason: str = ""
    done: bool = False
    silent: bool = False
    """No answer at all until the client gives up."""
    verbs: frozenset[str] = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


CHANGES = frozenset({"POST", "PUT", "PATCH"})
CONFLICT = Fault(409, "Conflict", verbs=CHANGES)
THROTTLED = Fault(429, "TooManyRequests")
BROKEN = Fault(500, "InternalError")
BROKEN_AFTER = Fault(500, "InternalError", done=True)
CUT = Fault()
CUT_AFTER = Fault(done=True)
SILENT = Fault(silent=True)
SILENT_AFTER = Fault(silent=True, done=True)


@dataclass
class Answers:
    """Faults for a share of all requests, by a seeded hand; at most `most` of them."""

    faults: Sequence[Fault] = ()
    share: float = 0.0
    seed: int = 0
    most: int = 10_000
    given: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def fault_of(self, verb: str) -> Fault | None:
        """What happens to this request, if anything."""
        fitting = [fault for fault in self.faults if verb in fault.verbs]
        if not fitting or self.given >= self.most or self._random.random() >= self.share:
            return None
        self.given += 1
        return self._random.choice(fitting)


@dataclass
class Lists:
    """Answers of lists, kept to be given once more: `share` of them are the previous one of the same question."""

    share: float = 0.0
    seed: int = 0
    given: int = 0
    _previous: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def one_of(self, question: str, fresh: bytes) -> bytes:
        """The answer, or an older one."""
        old = self._previous.get(question)
        if old is not None and self._random.random() < self.share:
            self.given += 1
            return old
        self._previous[question] = fresh
        return fresh


def failure(fault: Fault) -> web.Response:
    """A metav1.Status as the API server words it."""
    status = {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "reason": fault.reason,
        "code": fault.status,
        "message": f"a fault put in: {fault.reason}",
    }
    headers = {"Retry-After": "1"} if fault.status == THROTTLED.status else {}
    return web.json_response(status, status=fault.status, headers=headers)
