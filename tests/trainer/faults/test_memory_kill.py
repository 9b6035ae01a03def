"""A rank that the kernel kills for memory is told from one that was killed: 76, so that the planner steps down."""

import os
from dataclasses import dataclass
from pathlib import Path

from tests.support.pods import outlive
from tests.support.resources import little_memory
from tests.support.trainer import Home
from tests.support.trainer_faults import Devours

LIMIT_MIB = 512


@dataclass(frozen=True)
class Joins:
    """The process that it is put into, and all that it starts, live in a control group."""

    members: Path

    def __call__(self) -> None:
        self.members.write_text(str(os.getpid()), encoding="utf-8")


def test_a_rank_killed_by_the_kernel_for_memory_is_a_76(home: Home):
    with little_memory(f"farthing-test-{os.getpid()}", LIMIT_MIB) as members:
        eater = Devours(step=3, rank=1, limit=2 * LIMIT_MIB << 20)
        run = outlive(home.path, home.config(processes=2), around=[Joins(members)], inside=[eater], code=76)
    word = run.last_word()
    assert (word.exit_code, word.reason, word.message) == (76, "OutOfMemory", "rank 1 left with -9")
