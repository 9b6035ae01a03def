"""What the jobs of a cluster ask of its pools, and that a pool's status tells it without being written in every cycle."""

from dataclasses import replace
from itertools import pairwise

import pytest
from tests.support.lives import PLANNER, SETTINGS, Life, a_cluster, a_job, a_pool, an_account

from farthing.engine import sizing
from farthing.engine.planning import plan_cases
from farthing.engine.sizing import desired_nodes, one_node_more, pool_sizes
from farthing.planner.sizing_pools import NodeMore, PoolSize
from farthing.simulator.cluster import Node

TOKENS = {"limits": {"tokens": "150000"}}


@pytest.fixture
def life() -> Life:
    """One node of two slots; the pool may have three."""
    cluster = a_cluster()
    cluster.pools["slots"] = a_pool(acceleratorsPerNode=2, maxNodes=3)
    return Life(cluster)


async def sizes(life: Life):
    snapshot = await life.world.observe()
    return pool_sizes(plan_cases(snapshot, PLANNER, SETTINGS), snapshot.pools)


def status(life: Life, pool: str = "slots"):
    return life.cluster.pools[pool].status


async def test_an_idle_pool_keeps_its_least_nodes(life: Life) -> None:
    await life.settle_down()

    assert (status(life).desired_nodes, status(life).one_node_more) == (1, None)


async def test_a_job_asks_for_its_gang_before_it_is_prepared_and_for_its_training_time(life: Life) -> None:
    life.cluster.pools["slots"] = a_pool(acceleratorsPerNode=1, maxNodes=3)
    life.cluster.create_job(a_job())
    size = (await sizes(life))["slots"]

    assert (size.now, size.jobs) == (2, ("default/tiny",))
    assert size.seconds > 0
    assert size.node_seconds == pytest.approx(2 * size.seconds)


async def test_jobs_that_wait_for_nodes_are_counted_up_to_the_pools_limit(life: Life) -> None:
    for name in ("one", "two", "three", "four"):
        life.cluster.create_job(a_job(name))
    await life.run(60)

    assert status(life).nodes == 1
    assert status(life).desired_nodes == 3
    assert status(life).one_node_more == "one node beyond 3 would let 1 waiting job start at once"


async def test_what_is_asked_for_changes_with_the_jobs_and_not_with_the_clock(life: Life) -> None:
    life.cluster.create_job(a_job("one"))
    life.cluster.create_job(a_job("two", budget={**TOKENS, "deadline": "2026-11-25T12:00:00Z"}))
    seen = []
    for _ in range(30):
        await life.run(5)
        seen.append((status(life).desired_nodes, status(life).one_node_more))

    changes = [after for before, after in pairwise(seen) if after != before]
    assert (seen[0], changes) == ((2, None), [(1, None)]), "two while one of the jobs waits, one when the other is done"
    assert (life.state("one"), life.state("two")) == ("Running", "Complete")


async def test_while_a_deadline_comes_nearer_the_answer_stays(life: Life) -> None:
    life.cluster.create_job(a_job(budget={"limits": {"cost": "9"}, "currency": "USD", "deadline": "2026-11-24T13:00:00Z"}))
    before = await sizes(life)
    life.cluster.advance(30)

    assert await sizes(life) == before
    assert before["slots"].jobs == ("default/tiny",), "its plan takes all the time that is left, and is still in time"


async def test_when_the_jobs_are_done_nothing_is_asked_for(life: Life) -> None:
    life.cluster.create_job(a_job())
    assert await life.run(900, until=lambda: life.state() == "Complete")
    await life.settle_down()

    assert status(life).desired_nodes == 1


@pytest.mark.parametrize(
    "spec",
    [
        {"suspend": True},
        {"budget": {"limits": {"cost": "0.06"}, "currency": "USD", "accountRef": {"name": "team-a"}}},
        {"compute": {"accelerators": {"min": 64, "max": 64}}},
    ],
    ids=["suspended", "its account has nothing left", "it never fits"],
)
async def test_a_job_that_cannot_start_asks_for_no_node(life: Life, spec) -> None:
    life.cluster.accounts["default/team-a"] = an_account(cost="0.000001")
    life.cluster.create_job(a_job(**spec))
    size = (await sizes(life))["slots"]

    assert (size.now, size.jobs) == (0, ())


async def test_a_gang_that_runs_keeps_its_nodes_though_another_is_worth_more(life: Life) -> None:
    life.cluster.pools["slots"] = a_pool(acceleratorsPerNode=2, maxNodes=1)
    life.cluster.create_job(a_job("one"))
    await life.run(60)
    life.cluster.create_job(a_job("urgent", priorityClassName="urgent", budget=TOKENS))
    size = (await sizes(life))["slots"]

    assert size.jobs == ("default/one", "default/urgent")
    assert size.more.at_once == ("default/urgent",)


async def test_of_jobs_that_compete_the_one_of_higher_priority_comes_first(life: Life) -> None:
    life.cluster.pools["slots"] = a_pool(acceleratorsPerNode=2, maxNodes=1)
    budget = {"limits": {"cost": "0.06"}, "currency": "USD", "deadline": "2026-11-24T12:05:00Z"}
    life.cluster.create_job(a_job("a", budget=budget))
    life.cluster.create_job(a_job("b", budget=budget, priorityClassName="urgent"))

    assert (await sizes(life))["slots"].jobs == ("default/b",)


async def test_only_so_many_waiting_jobs_are_placed(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "MAX_JOBS", 2)
    for name in ("a", "b", "c"):
        life.cluster.create_job(a_job(name))

    assert (await sizes(life))["slots"].jobs == ("default/a", "default/b")


async def test_a_gang_whose_record_carries_no_plan_is_held_for_its_lease(life: Life) -> None:
    life.cluster.create_job(a_job())
    await life.run(60)
    snapshot = await life.world.observe()
    (case,) = plan_cases(snapshot, PLANNER, SETTINGS)
    attempt = case.view.open_attempt
    assert attempt is not None
    bare = attempt.record.model_copy(update={"metadata": attempt.record.metadata.model_copy(update={"annotations": {}})})
    unplanned = replace(case, view=replace(case.view, attempts=(*case.view.attempts[:-1], replace(attempt, record=bare))))
    size = pool_sizes([unplanned], snapshot.pools)["slots"]

    assert (size.now, size.seconds, size.cost) == (1, float(attempt.record.spec.ends.hard), None)


async def test_a_gang_on_a_pool_that_is_gone_is_passed_over(life: Life) -> None:
    life.cluster.create_job(a_job())
    await life.run(60)
    snapshot = await life.world.observe()

    assert pool_sizes(plan_cases(snapshot, PLANNER, SETTINGS), ()) == {}


async def test_every_node_that_a_pod_is_on_stays_wanted(life: Life) -> None:
    life.cluster.pools["slots"] = a_pool(acceleratorsPerNode=2, minNodes=0, maxNodes=3)
    life.cluster.nodes = {f"node-{n}": Node("slots", 1) for n in range(2)}
    life.cluster.create_job(a_job(compute={"accelerators": {"min": 1, "max": 1}}))
    await life.run(60)
    snapshot = await life.world.observe()
    (view,) = snapshot.pools
    cases = plan_cases(snapshot, PLANNER, SETTINGS)

    assert desired_nodes(view, cases, size_of(now=0)) == 1
    assert desired_nodes(view, cases, size_of(now=3)) == 3
    assert desired_nodes(view, (), size_of(now=0)) == 0


def size_of(now: int = 0, at_once: tuple[str, ...] = ()) -> PoolSize:
    return PoolSize("slots", 3, now, now, 0.0, 0.0, (), None, NodeMore(at_once=at_once))


@pytest.mark.parametrize(
    ("waiting", "words"),
    [
        ((), None),
        (("a",), "one node beyond 3 would let 1 waiting job start at once"),
        (("a", "b"), "one node beyond 3 would let 2 waiting jobs start at once"),
    ],
)
def test_the_node_beyond_the_limit_in_words(waiting, words) -> None:
    assert one_node_more(size_of(at_once=waiting)) == words
