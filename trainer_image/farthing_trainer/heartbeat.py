"""How far an attempt got: a tiny file beside the checkpoints, from which the next one knows how many steps were lost."""

import logging
import time
from typing import Any

from pydantic import Field, ValidationError

from farthing.contract.base import Message
from farthing_trainer.storage import Folder

HEARTBEAT_NAME = "heartbeat.json"
INTERVAL_SECONDS = 2.0

log = logging.getLogger(__name__)


class Heartbeat(Message):
    """The highest step that an attempt of a job has made."""

    job_uid: str
    attempt: str
    step: int = Field(ge=0)


class HeartbeatFile:
    """Written by rank 0 every few seconds. It only feeds a report, so a write that fails never stops the run."""

    def __init__(self, folder: Folder, job_uid: str, attempt: str) -> None:
        self._folder = folder
        self._identity: dict[str, Any] = {"job_uid": job_uid, "attempt": attempt}
        self._written_at = float("-inf")

    def earlier_step(self) -> int:
        """The highest step an earlier attempt of this job is known to have made; 0 where nothing is known."""
        if not self._folder.exists(HEARTBEAT_NAME):
            return 0
        try:
            beat = Heartbeat.model_validate_json(self._folder.read(HEARTBEAT_NAME))
        except (ValidationError, OSError) as error:
            log.warning("%s cannot be read: %s", HEARTBEAT_NAME, error)
            return 0
        return beat.step if beat.job_uid == self._identity["job_uid"] else 0

    def beat(self, step: int, *, now: bool = False) -> None:
        """Say how far this attempt got, at most every INTERVAL_SECONDS unless `now`."""
        if not now and time.monotonic() - self._written_at < INTERVAL_SECONDS:
            return
        self._written_at = time.monotonic()
        try:
            self._folder.write(HEARTBEAT_NAME, Heartbeat(step=step, **self._identity).to_json().encode())
        except OSError as error:
            log.warning("%s cannot be written: %s", HEARTBEAT_NAME, error)
