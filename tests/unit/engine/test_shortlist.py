"""What a policy is shown of many plans: no pool hides behind another, and the order stays that of the planner."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.support.lives import Life, a_cluster, a_job, a_pool
from tests.unit.planner.builders import ask_of

from farthing.domain.plan import Allocation
from farthing.engine.shortlist import MAX_CANDIDATES, shown
from farthing.planner import plan
from farthing.simulator.cluster import Node

PLAN = plan(ask_of()).plans[0]


def plans_of(places):
    return tuple(
        replace(PLAN, allocation=Allocation(pool, "cpu-slot", 1, gang), memory_request_bytes=number)
        for number, (pool, gang) in enumerate(places)
    )


places = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from([1, 2, 4, 8])), max_size=120)


@given(places)
def test_of_every_pool_and_gang_the_best_is_among_them(drawn):
    plans = plans_of(drawn)
    found = shown(plans)
    assert len(found) == min(len(plans), MAX_CANDIDATES)
    assert [each.memory_request_bytes for each in found] == sorted(each.memory_request_bytes for each in found)
    best = {}
    for each in plans:
        best.setdefault((each.allocation.pool, each.allocation.accelerators), each)
    assert set(map(id, best.values())) <= set(map(id, found))
    assert plans[:1] == found[:1]


async def test_a_job_starts_where_there_is_room_though_a_pool_without_nodes_is_cheaper() -> None:
    life = Life(a_cluster())
    life.cluster.pools["dream"] = a_pool("dream", price="0.000001", acceleratorsPerNode=8, maxNodes=8)
    life.cluster.create_job(a_job(compute={"accelerators": {"min": 1, "max": 64}}, training={"globalBatchSize": 64}))
    assert await life.run(120, until=lambda: life.state() == "Running")
    assert {record.spec.pool for record in life.records()} == {"slots"}


async def test_where_both_have_room_the_better_one_is_taken() -> None:
    life = Life(a_cluster())
    life.cluster.pools["dream"] = a_pool("dream", price="0.000001", acceleratorsPerNode=2, maxNodes=1)
    life.cluster.nodes["dream-0"] = Node("dream", 2)
    life.cluster.create_job(a_job(budget={"limits": {"cost": "0.06", "tokens": "150000"}, "currency": "USD"}))
    assert await life.run(120, until=lambda: life.state() == "Running")
    assert life.records()[-1].spec.pool == "dream"


async def test_data_is_prepared_where_there_is_room_though_a_full_pool_is_cheaper() -> None:
    life = Life(a_cluster())
    life.cluster.pools["dream"] = a_pool("dream", price="0.000001", acceleratorsPerNode=1, maxNodes=1)
    life.cluster.nodes["dream-0"] = Node("dream", 1)
    tokens = {"limits": {"cost": "0.06", "tokens": "150000"}, "currency": "USD"}
    for name in ("first", "second"):
        life.cluster.create_job(a_job(name, budget=tokens, compute={"accelerators": {"min": 1, "max": 1}}))
        await life.settle_down()
    assert {life.records(name)[0].spec.pool for name in ("first", "second")} == {"dream", "slots"}
