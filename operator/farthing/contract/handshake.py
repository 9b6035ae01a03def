"""The one way to stop a job on purpose: requested → written → manifest durable → acknowledged (DESIGN 5).

`POST /checkpoint` with a `CheckpointRequest` and `Authorization: Bearer <token>`. Answers: 202 while under way, 200 once
acknowledged or failed, both with a `CheckpointAnswer`; the same id always gets the same answer. 401 for a wrong token, 409 for
a different id while one is under way. The last answer also stands in `/progress`, in the manifest and in the last word.
`POST /lease` with a `LeaseUpdate` moves the trainer's ends, never past the supervisor's; 200 with the ends now in force.
"""

import hashlib
import hmac
from typing import Literal

from pydantic import Field

from farthing.contract.base import Count, Digest, Message
from farthing.contract.runconfig import End

Then = Literal["Stop", "Continue"]
RequestReason = Literal[
    "Suspended", "Preempted", "Rescaled", "PoolChanged", "SpotNotice", "Drained", "BudgetEnd", "UserRequest"
]


class CheckpointRequest(Message):
    """Ask for a checkpoint. `deadline_seconds` from the request's arrival; past it the operator lowers the Job's deadline.

    A write that has not begun by then is answered `Failed`; one that has begun is finished and acknowledged all the same.
    """

    id: str = Field(min_length=1, max_length=64)
    reason: RequestReason
    then: Then
    deadline_seconds: float = Field(gt=0)


class CheckpointAnswer(Message):
    """What became of a request. `digest` is the manifest's SHA-256; a failed one leaves training running."""

    id: str = Field(max_length=64)
    state: Literal["Accepted", "Acknowledged", "Failed"]
    then: Then = "Continue"
    step: Count | None = None
    digest: Digest | None = None
    message: str | None = None


class LeaseUpdate(Message):
    """New ends of a running attempt. `id` makes it idempotent; members that are None keep their value."""

    id: str = Field(min_length=1, max_length=64)
    trainer_end: End | None = None
    budget_end: End | None = None


HOLD_AFTER_STOP_SECONDS = 30.0
"""After acknowledging `Stop` all ranks wait at most this long for the end, then leave with 143 by themselves."""


def control_token(operator_key: bytes, attempt_uid: str) -> str:
    """The bearer token of an attempt: an HMAC-SHA256 of the operator's key, so that it is recomputed and never read back."""
    return hmac.new(operator_key, attempt_uid.encode(), hashlib.sha256).hexdigest()
