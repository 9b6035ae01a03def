"""The operator dies at each write of a life with start, preemption, resume, landing and deletion: the same end, the same bill.

It dies by SIGKILL before the write reaches the API server, or after it stands and before the answer is heard, and is started
again. CI lives, for each of the two ways, a life in which no operator gets further than three writes, one in which it dies at
the first write of every kind, and a sample of lives in which it happens once; FARTHING_LONG=1 lives those for every write.
"""

import os
import random

import pytest
from tests.controller.faults.deaths import Always, Fault, FirstOfEach, Lived, Once, Unharmed, lived
from tests.controller.faults.life import wanted
from tests.controller.faults.room import Room

pytestmark = pytest.mark.controller

LONG = os.environ.get("FARTHING_LONG") == "1"
SAMPLE = 6
WRITES = 135
"""No life takes more; where one takes fewer it is over before its death comes."""


async def test_the_operator_dies_at_every_write(rooms):
    every = [Once(number, moment) for number in range(1, WRITES + 1) for moment in ("before", "after")]
    random.Random(4).shuffle(every)
    chosen = every if LONG else every[:SAMPLE]

    async def same(room: Room, fault: Fault) -> Lived:
        each = await lived(room, fault)
        print(f"{fault}: {len(each.deaths)} deaths, {each.writes} writes {each.deaths[0] if len(each.deaths) == 1 else ''}")
        assert each.end == wanted()
        return each

    often = [kind(moment) for kind in (Always, FirstOfEach) for moment in ("after", "before")]
    _, _, after, before, unharmed, *once = await rooms.each((*often, Unharmed(), *chosen), same)
    for first in (after, before):
        missed = unharmed.kinds - {f"{write.verb} {write.resource}" for write in first.deaths}
        assert not missed, f"no operator died at {', '.join(sorted(missed))}"
    for fault, each in zip(chosen, once, strict=True):
        assert [write.number for write in each.deaths] == ([fault.number] if fault.number <= each.writes else [])
    assert sum(len(each.deaths) for each in once) > len(once) // 2
