"""What a trainer says of itself: `GET /progress` while it runs, the last word when it ends."""

from typing import Literal

from pydantic import Field

from farthing.contract.base import Message
from farthing.contract.checkpoint import Landing
from farthing.contract.handshake import CheckpointAnswer
from farthing.contract.runconfig import Stage

Phase = Literal["Starting", "Loading", "Preparing", "Training", "Evaluating", "Checkpointing", "Landing", "Holding", "Finished"]


class CheckpointReport(Message):
    """A durable checkpoint."""

    step: int
    tokens: int
    uri: str
    digest: str
    time: str
    seconds: float
    bytes: int
    trunk: bool = False


class MemoryReport(Message):
    """Bytes of the process that uses most: now, at peak, and the limit. `baseline` is the runtime before the model exists."""

    allocated: int
    peak: int
    limit: int | None = None
    baseline: int | None = None


class SecondsByCause(Message):
    """Where the held time of this attempt went, in seconds; the rest of the held time is idle."""

    startup: float = 0.0
    prepare: float = 0.0
    train: float = 0.0
    replay: float = 0.0
    checkpoint: float = 0.0
    evaluation: float = 0.0


class Progress(Message):
    """The trainer's state. Everything that is not known yet is None."""

    attempt: str
    stage: Stage
    phase: Phase
    started: str
    """When the supervisor started (RFC 3339)."""
    step: int = 0
    first_step: int | None = None
    """The first step that this attempt makes: the step resumed from, plus one."""
    resumed_from: int | None = None
    last_step: int | None = None
    """The step at which the run is expected to end, as seen now."""
    tokens: int = 0
    """Surviving lineage."""
    tokens_processed: int = 0
    """By this attempt, replays included."""
    flops: float = 0.0
    """Executed by this attempt."""
    lost_steps: int = 0
    """Steps that an earlier attempt had made after the checkpoint this one resumed from."""
    loss: float | None = None
    validation_loss: float | None = None
    validation_bits_per_byte: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    step_seconds: float | None = None
    mfu: float | None = None
    goodput: float | None = None
    memory: MemoryReport | None = None
    seconds: SecondsByCause = SecondsByCause()
    landing: Landing | None = None
    eta_seconds: float | None = None
    checkpoint: CheckpointReport | None = None
    checkpoints: tuple[CheckpointReport, ...] = ()
    """Those made by this attempt, at most the last 20."""
    answer: CheckpointAnswer | None = None
    prepared_tokens: int | None = None
    """Prepare stage: unique training tokens found."""
    prepared_digest: str | None = None


MAX_LAST_WORD_BYTES = 4096
"""Kubernetes cuts a container's termination message at this size."""


class LastWord(Message):
    """Rank 0's termination message: one JSON document of at most MAX_LAST_WORD_BYTES."""

    exit_code: int
    reason: str = Field(max_length=64)
    """CamelCase: Landed, StoppedOnRequest, LeaseEnded, OutOfMemory, BadConfig, PeerLost, DeadlineExceeded …"""
    message: str = Field(default="", max_length=1024)
    progress: Progress | None = None
    output_uri: str | None = None
