"""The operator dies at each write of a life with start, preemption, resume, landing and deletion: the same end, the same bill.

It dies by SIGKILL before the write reaches the API server, or after it stands and before the answer is heard, and is started
again. CI lives one life in which that happens at every single write, in each of the two ways, and a sample of lives in which it
happens once; FARTHING_LONG=1 lives them all.
"""

import os
import random

import pytest
from tests.controller.faults.deaths import Always, Never, Once, lived
from tests.controller.faults.life import check_end

pytestmark = pytest.mark.controller

LONG = os.environ.get("FARTHING_LONG") == "1"
SAMPLE = 6
WRITES = 135
"""No life takes more; where one takes fewer it is over before its death comes."""


async def test_the_operator_dies_at_every_write_of_one_life(rooms):
    unharmed, *harmed = await rooms.each((Never(), Always("after"), Always("before")), lived)
    check_end(unharmed.end)
    for each in harmed:
        assert each.end == unharmed.end
        assert {f"{write.verb} {write.resource}" for write in each.deaths} == unharmed.kinds
        print(f"{len(each.deaths)} deaths in {each.writes} writes; unharmed: {unharmed.writes}")


async def test_the_operator_dies_at_one_write(rooms):
    (unharmed,) = await rooms.each([Never()], lived)
    every = [Once(number, moment) for number in range(1, WRITES + 1) for moment in ("before", "after")]
    chosen = every if LONG else random.Random(4).sample(every, SAMPLE)
    lives = await rooms.each(chosen, lived)
    for case, each in zip(chosen, lives, strict=True):
        assert [write.number for write in each.deaths] == ([case.number] if case.number <= each.writes else [])
        assert each.end == unharmed.end, (case, each.deaths)
    died = sum(len(each.deaths) for each in lives)
    print(f"{died} lives with a death each, at one of {unharmed.writes} writes")
    assert LONG or died > SAMPLE // 2
