from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.scheduler.builders import node

from farthing.domain.plan import Allocation
from farthing.domain.scheduling import NodeCapacity
from farthing.scheduler.feasibility import could_ever_fit, freed, place, taken


def gang(pods: int, per_pod: int) -> Allocation:
    return Allocation("gpu", "H100", pods, per_pod)


def test_one_node_that_takes_the_whole_gang_is_best_and_of_those_the_fullest() -> None:
    assert place(gang(2, 2), (node("a", 8), node("b", 4), node("c", 3), node("d", 2))) == ("b", "b")


def test_else_the_fullest_nodes_that_still_take_a_pod() -> None:
    assert place(gang(3, 2), (node("a", 5), node("b", 2), node("c", 1), node("d", 4))) == ("b", "d", "d")


def test_a_gang_is_placed_as_a_whole_or_not_at_all() -> None:
    assert place(gang(3, 2), (node("a", 3), node("b", 3))) is None
    assert place(gang(1, 1), ()) is None
    assert place(gang(1, 1), (node("a", -1),)) is None


def test_what_could_fit_on_empty_nodes() -> None:
    assert could_ever_fit(gang(2, 2), (node("a", 0, 4),))
    assert not could_ever_fit(gang(3, 2), (node("a", 0, 4),))


NODES = st.lists(st.integers(0, 8), max_size=6).map(
    lambda free: tuple(NodeCapacity(f"n{index}", 8, count) for index, count in enumerate(free))
)


@given(NODES, st.integers(1, 6), st.integers(1, 8))
def test_it_fits_exactly_where_enough_seats_exist_and_no_node_is_overfilled(
    nodes: tuple[NodeCapacity, ...], pods: int, per_pod: int
) -> None:
    seats = place(gang(pods, per_pod), nodes)
    assert (seats is not None) == (sum(one.free // per_pod for one in nodes) >= pods)
    if seats is None:
        return
    assert len(seats) == pods
    free = {one.node: one.free for one in nodes}
    assert all(count * per_pod <= free[name] for name, count in Counter(seats).items())
    after = taken(nodes, seats, per_pod)
    assert sum(one.free for one in after) == sum(one.free for one in nodes) - pods * per_pod
    assert freed(after, seats, per_pod) == nodes


@given(NODES, st.integers(1, 6), st.integers(1, 8), st.randoms(use_true_random=False))
def test_the_order_of_nodes_does_not_matter(nodes: tuple[NodeCapacity, ...], pods: int, per_pod: int, random: object) -> None:
    shuffled = list(nodes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert place(gang(pods, per_pod), shuffled) == place(gang(pods, per_pod), nodes)
