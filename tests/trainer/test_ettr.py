"""Effective training time under kills, short: nothing goes unaccounted for, and the interval is as good as Daly allows."""

import math
from itertools import pairwise
from random import Random

from tests.support.ettr import Attempt, account, young
from tests.support.kills import End, live
from tests.support.trainer import Home, ranks

KILLS = 3
BETWEEN_KILLS = 12.0
"""Mean seconds of training."""
SEED = 4
FLOOR = 0.9
"""Three kills cannot tell 97 from 94 %: their last steps and their dying alone are 5 % of so short a run. The 97 % are the long
form's to show (`python -m tests.benchmarks.ettr`); this one sees an interval or a start that has gone wrong."""
BATCH = {"globalBatch": 64, "microBatch": 16, "accumulation": 2}


def stratified_kills() -> list[End]:
    """At the middle of each third of the exponential distribution and of the interval, shuffled: three stand for many."""
    random = Random(SEED)
    middles = [(number + 0.5) / KILLS for number in range(KILLS)]
    after = [-BETWEEN_KILLS * math.log1p(-middle) for middle in random.sample(middles, KILLS)]
    phases = random.sample(middles, KILLS)
    ends = [End(seconds, random.randrange(2), phase) for seconds, phase in zip(after, phases, strict=True)]
    return [*ends, End(KILLS * BETWEEN_KILLS - sum(after), rank=None)]


def test_kills_cost_what_young_and_daly_say_and_no_more(home: Home):
    """Real processes, SIGKILL of a random rank, the next attempt at once, the interval as the product chooses it.

    Only durations of this one run are compared with each other, so a busy machine changes both sides.
    """
    checkpoint = {"intervalSeconds": None, "meanTimeBetweenFailuresSeconds": BETWEEN_KILLS}
    config = home.config(processes=2, batch=BATCH, checkpoint=checkpoint)
    attempts = live(ranks, home.path, config, iter(stratified_kills()), poll_seconds=0.1)
    sums = account(attempts)
    assert sums.kills == KILLS
    assert sums.other >= 0, sums
    for killed, following in pairwise(attempts):
        assert following.resumed_from >= max(killed.saves), "a durable checkpoint was not resumed from"
        assert stepping_before_a_save(following) <= longest_interval(attempts) + 2 * following.longest_between_samples, sums
    for number, (killed, lost) in enumerate(zip(attempts, sums.lost_by_kill, strict=False)):
        assert lost <= longest_interval(attempts[: number + 1]) + 2 * killed.longest_between_samples, (number, sums)
    assert sums.of_the_optimum >= FLOOR, (sums.ettr, sums.allowed, sums)


def stepping_before_a_save(attempt: Attempt) -> float:
    """Seconds of steps before the first one: a resumed run knows what a save takes."""
    return attempt.stepping_until(min(attempt.saves))


def longest_interval(attempts: list[Attempt]) -> float:
    """Young's, of the longest save that was known when the last of these attempts was killed."""
    saves = [seconds for attempt in attempts for seconds in attempt.saves.values()]
    return young(max(saves), BETWEEN_KILLS)
