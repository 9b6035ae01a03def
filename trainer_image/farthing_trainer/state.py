"""The shared state of a run on rank 0: written by the training loop, read and asked by the control port's threads."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from farthing.contract.handshake import CheckpointAnswer, CheckpointRequest, LeaseUpdate
from farthing.contract.progress import CheckpointReport, Progress, SecondsByCause
from farthing_trainer.lease import Lease

CHECKPOINTS_SHOWN = 20


class Busy(Exception):
    """Another request is under way; carries its answer so far."""

    def __init__(self, answer: CheckpointAnswer) -> None:
        super().__init__(f"request {answer.id} is under way")
        self.answer = answer


@dataclass
class RunState:
    """Progress, the open checkpoint request and the lease. Every method is safe to call from any thread."""

    progress: Progress
    lease: Lease
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: CheckpointRequest | None = None
    _open_until: float = 0.0
    _answers: dict[str, CheckpointAnswer] = field(default_factory=dict)
    _lease_ids: set[str] = field(default_factory=set)

    def update(self, **changes: Any) -> None:
        """Change members of the progress."""
        with self._lock:
            self.progress = self.progress.model_copy(update=changes)

    def spend(self, cause: str, seconds: float) -> None:
        """Charge seconds of held time to one cause of `SecondsByCause`."""
        with self._lock:
            spent: SecondsByCause = self.progress.seconds
            charged = spent.model_copy(update={cause: getattr(spent, cause) + seconds})
            self.progress = self.progress.model_copy(update={"seconds": charged})

    def add_checkpoint(self, report: CheckpointReport) -> None:
        """A checkpoint became durable."""
        with self._lock:
            made = (*self.progress.checkpoints, report)[-CHECKPOINTS_SHOWN:]
            self.progress = self.progress.model_copy(update={"checkpoint": report, "checkpoints": made})

    def submit(self, request: CheckpointRequest) -> CheckpointAnswer:
        """Take a request; the same id gets the same answer. Raises Busy while another one is under way."""
        with self._lock:
            if request.id in self._answers:
                return self._answers[request.id]
            if self._open is not None:
                raise Busy(self._answers[self._open.id])
            accepted = CheckpointAnswer(id=request.id, state="Accepted", then=request.then)
            self._open = request
            self._open_until = time.monotonic() + request.deadline_seconds
            self._answers[request.id] = accepted
            self.progress = self.progress.model_copy(update={"answer": accepted})
            return accepted

    def open_request(self) -> CheckpointRequest | None:
        """The request that the loop has to obey after its current step."""
        with self._lock:
            return self._open

    def request_in_time(self) -> CheckpointRequest | None:
        """The open request, before its write begins; one whose deadline has passed by then is answered Failed instead."""
        request = self.open_request()
        if request is not None and time.monotonic() > self._open_until:
            late = "its deadline passed before the write began"
            self.answer(CheckpointAnswer(id=request.id, state="Failed", then=request.then, message=late))
            return None
        return request

    def answer(self, answer: CheckpointAnswer) -> None:
        """Close the open request."""
        with self._lock:
            self._answers[answer.id] = answer
            self._open = None
            self.progress = self.progress.model_copy(update={"answer": answer})

    def move_lease(self, update: LeaseUpdate) -> LeaseUpdate:
        """Obey a lease update once; returns the ends in force."""
        with self._lock:
            if update.id not in self._lease_ids:
                self._lease_ids.add(update.id)
                self.lease.move(update)
            return LeaseUpdate(id=update.id, trainer_end=self.lease.trainer_end, budget_end=self.lease.budget_end)
