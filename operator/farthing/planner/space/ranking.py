"""Which candidate is best: what the budget buys, then time, then cost; and the front that nothing beats in all three.

For one model and one data set more tokens are a lower loss, whatever its law says of repetition and batch, so tokens stand for
both outcomes, exactly. Ties go to the first in the grid's order, pools by name.
"""

from bisect import bisect_right

import numpy as np

from farthing.estimates.configuration import Floats
from farthing.planner.space.grid import Ints

DIGITS = 3
"""To which the front compares: a difference behind them is far below any estimate's error, such as the rest of a budget that is
too small for one more step."""
_LEAST, _MOST = -(10**6), 10**6


def order(tokens: Floats, seconds: Floats, cost: Floats) -> Ints:
    """Positions, best first. `cost` is NaN where it is unknown, which comes after any that is known."""
    return np.asarray(np.lexsort((known(cost), seconds, -tokens)), dtype=np.int64)


def known(cost: Floats) -> Floats:
    """Infinite where the cost is unknown."""
    return np.where(np.isnan(cost), np.inf, cost)


def best_of_runs(starts: Ints, tokens: Floats, seconds: Floats, cost: Floats) -> Ints:
    """Of each run of neighbours the position of the best, by `order`. `starts`: where each run begins, ascending from 0."""
    if not len(starts):
        return starts
    run = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(tokens)]))
    alive = np.ones(len(tokens), dtype=bool)
    for key in (-tokens, seconds, known(cost)):
        least = np.minimum.reduceat(np.where(alive, key, np.inf), starts)
        alive &= key == least[run]
    positions = np.flatnonzero(alive)
    return positions[np.r_[True, run[positions][1:] != run[positions][:-1]]]


def unbeaten(tokens: Floats, seconds: Floats, cost: Floats) -> Ints:
    """Ascending positions of those that the best by each of the three do not beat, unrounded: few, and all of the front."""
    alive, keys = np.ones(len(tokens), dtype=bool), (-tokens, seconds, known(cost))
    for first, second, third in ((0, 1, 2), (1, 0, 2), (2, 0, 1)) if len(tokens) else ():
        (pivot,) = best_of_runs(np.zeros(1, dtype=np.int64), -keys[first], keys[second], keys[third])
        no_better = np.logical_and.reduce([key >= key[pivot] for key in keys])
        alive &= ~(no_better & np.logical_or.reduce([key > key[pivot] for key in keys]))
    return np.flatnonzero(alive)


def front(tokens: Floats, seconds: Floats, cost: Floats) -> Ints:
    """Ascending positions of those that no other beats: at least as good in all three and better in one, to DIGITS digits.

    Of equal ones the first stays; where the arrays are in the order of `order`, none of the front is beaten at full precision
    either.
    """
    if not len(tokens):
        return np.zeros(0, dtype=np.int64)
    keys = np.stack((-rounded(tokens), rounded(seconds), rounded(known(cost))))
    first = np.lexsort((np.arange(keys.shape[1]), *keys[::-1]))
    keys = keys[:, first]
    new = np.any(keys[:, 1:] != keys[:, :-1], axis=0)
    first, keys = first[np.r_[True, new][: len(first)]], keys[:, np.r_[True, new][: keys.shape[1]]]
    alive = _not_beaten_by_pivots(keys)
    kept = _sweep(keys[1, alive].tolist(), keys[2, alive].tolist())
    return np.sort(first[alive][kept])


def rounded(values: Floats) -> Ints:
    """Whole numbers in the order of the values (at least 0), equal where they agree to DIGITS digits: 900 a decade."""
    finite = np.isfinite(values) & (values > 0)
    safe = np.where(finite, values, 1.0)
    decade = np.floor(np.log10(safe))
    digits = np.round(safe * 10.0 ** (DIGITS - 1 - decade))
    a_decade = 9 * 10 ** (DIGITS - 1)
    found = (decade * a_decade + digits - 10 ** (DIGITS - 1)).astype(np.int64)
    return np.where(finite, found, np.where(values > 0, _MOST, _LEAST))


def _not_beaten_by_pivots(keys: Ints) -> Ints:
    """Positions that the best in each of the three do not beat: cheap, and leaves few to sweep."""
    pivots = {int(np.lexsort((keys[b], keys[c], keys[a]))[0]) for a, b, c in ((0, 2, 1), (1, 2, 0), (2, 1, 0))}
    pivots |= {int(np.argmin(keys[1] + keys[2])), int(np.argmin(keys.sum(axis=0)))}
    beaten = np.zeros(keys.shape[1], dtype=bool)
    for pivot in pivots:
        no_worse = np.all(keys[:, pivot : pivot + 1] <= keys, axis=0)
        beaten |= no_worse & np.any(keys[:, pivot : pivot + 1] < keys, axis=0)
    return np.flatnonzero(~beaten)


def _sweep(seconds: list[int], cost: list[int]) -> list[int]:
    """Positions kept, of members in ascending order of outcome, seconds, cost: those dearer than none as fast before them."""
    times: list[int] = []
    costs: list[int] = []
    kept = []
    for position, (time, price) in enumerate(zip(seconds, cost, strict=True)):
        at = bisect_right(times, time)
        if at and costs[at - 1] <= price:
            continue
        kept.append(position)
        end = at
        while end < len(times) and costs[end] >= price:
            end += 1
        start = at - 1 if at and times[at - 1] == time else at
        times[start:end], costs[start:end] = [time], [price]
    return kept
