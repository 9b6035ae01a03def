"""Where this process stands in the gang, and since when: read from the environment, standard library only.

The supervisor sets all of it; torchrun sets all but FARTHING_STARTED; from a shell nothing is set and the world is one process.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

ENV_STARTED = "FARTHING_STARTED"
"""`<monotonic seconds> <unix seconds>` at which the supervisor started; both clocks are the machine's own."""


@dataclass(frozen=True, slots=True)
class Started:
    """The moment from which an `End.seconds` counts, on both clocks, in seconds."""

    monotonic: float
    unix: float

    @classmethod
    def now(cls) -> "Started":
        """This moment."""
        return cls(time.monotonic(), time.time())

    @classmethod
    def parse(cls, text: str) -> "Started":
        """From the text of FARTHING_STARTED. Raises ValueError."""
        monotonic, unix = text.split()
        return cls(float(monotonic), float(unix))

    def __str__(self) -> str:
        return f"{self.monotonic:.6f} {self.unix:.6f}"

    @property
    def moment(self) -> datetime:
        """The same as an aware datetime in UTC."""
        return datetime.fromtimestamp(self.unix, UTC)

    def elapsed(self) -> float:
        """Seconds since then, on the monotonic clock."""
        return time.monotonic() - self.monotonic


@dataclass(frozen=True, slots=True)
class Place:
    """Rank and size of the gang, as torchrun names them."""

    rank: int
    local_rank: int
    world: int
    local_world: int
    master_address: str
    started: Started

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which decides, serves and reports."""
        return self.rank == 0


def place_from(environment: Mapping[str, str] | None = None) -> Place:
    """The place that the environment names; a world of one where it names none."""
    env = os.environ if environment is None else environment
    started = Started.parse(env[ENV_STARTED]) if ENV_STARTED in env else Started.now()
    world = int(env.get("WORLD_SIZE", "1"))
    return Place(
        rank=int(env.get("RANK", "0")),
        local_rank=int(env.get("LOCAL_RANK", "0")),
        world=world,
        local_world=int(env.get("LOCAL_WORLD_SIZE", str(world))),
        master_address=env.get("MASTER_ADDR", "127.0.0.1"),
        started=started,
    )
