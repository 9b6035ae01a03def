"""What a trainer says of itself: `GET /progress` while it runs, the last word when it ends.

A pod may run any image that its tenant likes, so that every member is bounded by what a status can hold: a report that says
more is none, and can neither stop the operator nor bend a bill.
"""

from typing import Literal

from pydantic import Field

from farthing.contract.base import Count, Digest, Location, Measured, Message, Moment, Seconds
from farthing.contract.checkpoint import Landing
from farthing.contract.handshake import CheckpointAnswer
from farthing.contract.runconfig import Stage

Phase = Literal["Starting", "Loading", "Preparing", "Training", "Evaluating", "Checkpointing", "Landing", "Holding", "Finished"]


class CheckpointReport(Message):
    """A durable checkpoint."""

    step: Count
    tokens: Count
    uri: Location
    digest: Digest
    time: Moment
    seconds: Measured
    bytes: Count
    trunk: bool = False


class MemoryReport(Message):
    """Bytes of the process that uses most: now, at peak, and the limit. `baseline` is the runtime before the model exists."""

    allocated: Count
    peak: Count
    limit: Count | None = None
    baseline: Count | None = None


class SecondsByCause(Message):
    """Where the held time of this attempt went, in seconds; the rest of the held time is idle."""

    startup: Seconds = 0.0
    prepare: Seconds = 0.0
    train: Seconds = 0.0
    replay: Seconds = 0.0
    checkpoint: Seconds = 0.0
    evaluation: Seconds = 0.0


class Progress(Message):
    """The trainer's state. Everything that is not known yet is None."""

    attempt: str
    stage: Stage
    phase: Phase
    started: Moment
    """When the supervisor started (RFC 3339)."""
    step: Count = 0
    first_step: Count | None = None
    """The first step that this attempt makes: the step resumed from, plus one."""
    resumed_from: Count | None = None
    last_step: Count | None = None
    """The step at which the run is expected to end, as seen now."""
    tokens: Count = 0
    """Surviving lineage."""
    tokens_processed: Count = 0
    """By this attempt, replays included."""
    flops: Measured = 0.0
    """Executed by this attempt."""
    lost_steps: Count = 0
    """Steps that an earlier attempt had made after the checkpoint this one resumed from."""
    loss: float | None = None
    validation_loss: float | None = None
    validation_bits_per_byte: float | None = None
    learning_rate: float | None = None
    tokens_per_second: Measured | None = None
    step_seconds: Seconds | None = None
    mfu: float | None = None
    goodput: float | None = None
    memory: MemoryReport | None = None
    seconds: SecondsByCause = SecondsByCause()
    landing: Landing | None = None
    eta_seconds: Measured | None = None
    checkpoint: CheckpointReport | None = None
    checkpoints: tuple[CheckpointReport, ...] = ()
    """Those made by this attempt, at most the last 20."""
    answer: CheckpointAnswer | None = None
    prepared_tokens: Count | None = None
    """Prepare stage: unique training tokens found."""
    prepared_digest: Digest | None = None


MAX_LAST_WORD_BYTES = 4096
"""Kubernetes cuts a container's termination message at this size."""


class LastWord(Message):
    """Rank 0's termination message: one JSON document of at most MAX_LAST_WORD_BYTES."""

    exit_code: int
    reason: str = Field(max_length=64)
    """CamelCase: Landed, StoppedOnRequest, LeaseEnded, OutOfMemory, BadConfig, PeerLost, DeadlineExceeded …"""
    message: str = Field(default="", max_length=1024)
    progress: Progress | None = None
    output_uri: Location | None = None
