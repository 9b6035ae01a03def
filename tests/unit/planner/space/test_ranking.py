"""The order, and the front against brute force."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from farthing.planner.space.ranking import best_of_runs, front, order, rounded, unbeaten

numbers = st.sampled_from([0.5, 1.0, 1.0004, 2.0, 3.0, 9.999, 10.0, 1000.0])
triples = st.lists(st.tuples(numbers, numbers, numbers | st.just(np.nan)), min_size=1, max_size=40)


def columns(found):
    return tuple(np.array(column, dtype=float) for column in zip(*found, strict=True))


@given(triples)
def test_the_order_is_tokens_then_time_then_cost_then_place(found):
    tokens, seconds, cost = columns(found)
    dear = np.where(np.isnan(cost), np.inf, cost)
    expected = sorted(range(len(found)), key=lambda i: (-tokens[i], seconds[i], dear[i], i))
    assert order(tokens, seconds, cost).tolist() == expected


@given(triples)
def test_the_front_is_what_brute_force_leaves(found):
    tokens, seconds, cost = columns(found)
    ranked = order(tokens, seconds, cost)
    tokens, seconds, cost = tokens[ranked], seconds[ranked], cost[ranked]
    keys = [
        tuple(key)
        for key in np.stack((-rounded(tokens), rounded(seconds), rounded(np.where(np.isnan(cost), np.inf, cost)))).T.tolist()
    ]

    def beats(one, other):
        return all(a <= b for a, b in zip(one, other, strict=True)) and one != other

    expected = [
        i for i, key in enumerate(keys) if not any(beats(other, key) for other in keys) and key not in keys[:i]
    ]  # fmt: skip
    assert front(tokens, seconds, cost).tolist() == expected


@given(triples)
def test_nothing_beats_the_front_at_full_precision(found):
    tokens, seconds, cost = columns(found)
    ranked = order(tokens, seconds, cost)
    points = np.stack((-tokens, seconds, np.where(np.isnan(cost), np.inf, cost)))[:, ranked]
    for member in front(tokens[ranked], seconds[ranked], cost[ranked]).tolist():
        mine = points[:, member : member + 1]
        assert not (np.all(points <= mine, axis=0) & np.any(points < mine, axis=0)).any()


@given(st.floats(1e-9, 1e15), st.floats(1e-9, 1e15))
def test_rounding_keeps_the_order(one, other):
    low, high = sorted((one, other))
    keys = rounded(np.array([low, high]))
    assert keys[0] <= keys[1]
    if high > low * 1.011:
        assert keys[0] < keys[1]


def test_rounding_at_the_ends():
    assert rounded(np.array([999.9, 1000.0]))[0] == rounded(np.array([999.9, 1000.0]))[1]
    zero, one, most = rounded(np.array([0.0, 1.0, np.inf]))
    assert zero < one < most


@given(triples, st.lists(st.integers(0, 39), max_size=6))
def test_the_best_of_a_run_is_the_first_of_its_own_order(found, cuts):
    starts = np.array(sorted({0, *(cut for cut in cuts if cut < len(found))}))
    arrays = columns(found)
    expected = [
        first + int(order(*(array[first:last] for array in arrays))[0])
        for first, last in zip(starts, [*starts[1:], len(found)], strict=True)
    ]
    assert best_of_runs(starts, *arrays).tolist() == expected


@given(triples)
def test_what_a_pivot_beats_is_not_on_the_front(found):
    arrays = columns(found)
    near = unbeaten(*arrays)
    ranked = order(*arrays)
    whole = ranked[front(*(array[ranked] for array in arrays))]
    few = near[order(*(array[near] for array in arrays))]
    assert few[front(*(array[few] for array in arrays))].tolist() == whole.tolist()


def test_of_nothing_there_is_no_best():
    nothing = np.zeros(0)
    assert unbeaten(nothing, nothing, nothing).tolist() == front(nothing, nothing, nothing).tolist() == []
    assert best_of_runs(np.zeros(0, dtype=np.int64), nothing, nothing, nothing).tolist() == []
