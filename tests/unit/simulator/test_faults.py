"""The faults that the in-memory world can have: caches that are behind, clocks that are wrong, evidence that is gone."""

from datetime import timedelta
from typing import Any

import pytest
from tests.support.lives import START, Life, a_cluster, a_job, an_account
from tests.support.operators import Operators, at_once

from farthing.clock import FakeClock
from farthing.domain.outcome import Outcome
from farthing.errors import Conflict, Refused
from farthing.simulator.cluster import Node
from farthing.simulator.faults import Crash, WrongClock
from farthing.simulator.gang import KILLED
from farthing.simulator.watches import Watches


@pytest.fixture
async def running() -> Life:
    """A life with its train attempt running."""
    life = Life(a_cluster())
    life.cluster.create_job(a_job())
    assert await life.run(120, until=lambda: life.state() == "Running")
    await life.run(40)
    return life


def test_a_watch_that_hangs_shows_what_it_showed_until_the_next_list() -> None:
    cluster = a_cluster()
    watches = Watches(cluster)
    watches.hang("jobs")
    cluster.create_job(a_job())
    cluster.set_price("slots", "3.00")
    seen = watches.look()
    assert (dict(seen.jobs), watches.up_to_date) == ({}, False)
    assert seen.pools["slots"].spec.price is not None
    assert seen.pools["slots"].spec.price.per_accelerator_hour == "3.00", "the other watches go on"
    watches.relist()
    assert set(watches.look().jobs) == {"default/tiny"}
    assert watches.up_to_date


def test_an_event_that_is_lost_is_made_up_for_by_the_next_one() -> None:
    cluster = a_cluster()
    watches = Watches(cluster)
    cluster.set_price("slots", "3.00")
    watches.lose("pools", "slots")
    assert price(watches) == "0.50"
    assert price(watches) == "0.50"
    cluster.set_price("slots", "4.00")
    assert price(watches) == "4.00"


def test_an_event_that_is_told_again_shows_the_past_for_one_look() -> None:
    cluster = a_cluster()
    watches = Watches(cluster)
    cluster.set_price("slots", "3.00")
    watches.look()
    watches.repeat("pools", "slots")
    assert price(watches) == "0.50"
    assert price(watches) == "3.00"


def price(watches: Watches) -> str | None:
    given = watches.look().pools["slots"].spec.price
    return None if given is None else given.per_accelerator_hour


def test_a_clock_is_stepped() -> None:
    true = FakeClock(START)
    clock = WrongClock(true)
    clock.step(-3600)
    true.advance(10)
    assert clock.now() - START == timedelta(seconds=-3590)


async def test_a_settled_record_is_frozen(running: Life) -> None:
    key, record = next((key, each) for key, each in running.cluster.records.items() if each.status.phase == "Settled")
    with pytest.raises(Refused, match="settled"):
        running.world.store.put_record(key, "quote", record.status)


async def test_what_others_did_between_reading_and_writing_is_a_conflict() -> None:
    """Another leader opens the very attempt while the first one is stopped before its record."""
    cluster = a_cluster()
    operators = Operators(cluster, native_gangs=True)
    cluster.create_job(a_job())
    first = operators.leader
    operators.pause_at(2, cycles=2)
    report = operators.cycle()
    assert operators.leader is not first
    assert report is not None
    assert report.troubles["default/tiny"].startswith("SpendRecord")
    assert [record.spec.number for record in cluster.records.values()] == [1]


def test_a_hold_that_was_dropped_before_its_record_stood_is_taken_anew() -> None:
    """The first leader is stopped between hold and record; the other one sees a hold without a record, and drops it."""
    cluster = a_cluster()
    cluster.accounts["default/team-a"] = an_account(cost="0.06")
    operators = Operators(cluster, native_gangs=True)
    cluster.create_job(a_job(budget={"limits": {"cost": "0.06"}, "currency": "USD", "accountRef": {"name": "team-a"}}))
    operators.pause_at(2, cycles=1)
    operators.cycle()
    (record,) = cluster.records.values()
    assert [hold.attempt for hold in cluster.accounts["default/team-a"].status.holds] == [record.spec.attempt]


def test_a_leader_that_wakes_after_its_attempt_was_settled_starts_nothing() -> None:
    """It is stopped before the first child's POST; the other one runs the attempt to its end, settles it and cleans up."""
    cluster = a_cluster()
    operators = Operators(cluster, native_gangs=True)
    cluster.create_job(a_job())
    operators.pause_at(3, cycles=5)
    operators.cycle()
    operators.run(1, period=60)
    (first,) = [record for record in cluster.records.values() if record.spec.number == 1]
    assert first.status.phase == "Settled"
    assert len(cluster.history[f"default/{first.spec.attempt}"]) == 1, "the gang that ran, and no second one on no bill"


def test_an_operator_that_dies_is_followed_by_another() -> None:
    operators = Operators(a_cluster(), native_gangs=True)
    operators.cluster.create_job(a_job())
    first = operators.leader
    operators.die_at(Crash(1, "before"))
    assert operators.cycle() is None
    assert operators.leader is not first


async def test_a_machine_that_starts_anew_tells_its_return_as_the_end_of_what_ran(running: Life) -> None:
    running.cluster.set_reachable("node-0", reachable=False)
    running.cluster.reboot_node("node-0")
    running.cluster.advance(100)
    running.cluster.set_reachable("node-0", reachable=True)
    running.cluster.advance(3)
    ((_, gang),) = running.cluster.gangs.items()
    (pod,) = gang.pods
    assert (pod.exit_code, pod.container_reason, pod.last_word) == (255, "Unknown", None)
    assert pod.finished_at is not None
    assert (running.cluster.clock.now() - pod.finished_at).total_seconds() < 5
    assert gang.alive_until is not None
    assert pod.finished_at - gang.alive_until > timedelta(seconds=90)
    assert await running.run(200, until=lambda: len(running.records()) == 3)
    assert (running.records()[1].status.outcome, running.records()[1].status.estimated) == (Outcome.DISRUPTED, True)


async def test_the_pods_of_a_node_that_is_gone_are_given_up_without_a_word(running: Life) -> None:
    running.cluster.lose_node("node-0")
    ((_, gang),) = running.cluster.gangs.items()
    running.cluster.advance(30)
    assert not any(pod.terminal for pod in gang.pods)
    running.cluster.advance(15)
    assert [(pod.phase, pod.exit_code, pod.finished_at, pod.disrupted) for pod in gang.pods] == [("Failed", None, None, True)]
    running.cluster.nodes["node-1"] = Node("slots", 2)
    assert await running.run(200, until=lambda: len(running.records()) == 3)
    lost = running.records()[1].status
    assert (lost.outcome, lost.estimated) == (Outcome.DISRUPTED, True)
    assert "lost with its node" in lost.message


async def test_a_process_that_is_killed_out_of_sight_has_its_true_time_told_later(running: Life) -> None:
    running.cluster.set_reachable("node-0", reachable=False)
    ((_, gang),) = running.cluster.gangs.items()
    assert gang.trainer is not None
    gang.trainer.kill(KILLED)
    killed = running.cluster.clock.now()
    running.cluster.advance(60)
    running.cluster.set_reachable("node-0", reachable=True)
    running.cluster.advance(2)
    (pod,) = gang.pods
    assert pod.finished_at is not None
    assert (pod.finished_at - killed).total_seconds() <= 1


async def test_pods_without_evidence_are_billed_by_what_their_job_says(running: Life) -> None:
    ((_, gang),) = running.cluster.gangs.items()
    gang.forget()
    assert await running.run(200, until=lambda: running.records()[1].status.phase == "Settled")
    bill = running.records()[1].status
    assert bill.estimated
    assert sum(interval.seconds for interval in bill.intervals) >= gang.held_seconds


async def test_pods_and_job_without_evidence_are_billed_to_the_hard_end(running: Life) -> None:
    ((key, gang),) = running.cluster.gangs.items()
    gang.forget()
    running.cluster.delete_gang(key)
    assert await running.run(600, until=lambda: running.records()[1].status.phase == "Settled")
    bill = running.records()[1]
    assert bill.status.estimated
    assert sum(interval.seconds for interval in bill.status.intervals) == bill.spec.ends.hard
    assert running.cluster.history[key] == [gang], "it is not made a second time"


async def test_a_bill_is_not_made_on_pods_that_the_cache_missed() -> None:
    """The watch of the pods hangs, that of the Jobs does not: the attempt looks as if it had never had any pod."""
    cluster = a_cluster()
    operators = Operators(cluster, native_gangs=False)
    cluster.create_job(a_job())
    operators.settle_down()
    operators.leader.watches.hang("pods")
    (key,) = cluster.gangs
    cluster.advance(3)
    operators.cycle()
    cluster.delete_gang(key, "Orphan")
    operators.run(30, period=60)
    (record,) = cluster.records.values()
    assert record.status.phase == "Open"
    operators.leader.watches.relist()
    operators.run(2)
    assert cluster.records[key].status.phase == "Settled"
    billed = sum(interval.seconds for interval in cluster.records[key].status.intervals)
    assert billed >= min(int(cluster.history[key][0].held_seconds), record.spec.ends.hard)


async def test_a_bill_is_not_made_on_a_job_whose_deletion_the_cache_missed() -> None:
    """The watch of the training jobs hangs: its pods end with it, and look as if something had taken them away."""
    cluster = a_cluster()
    operators = Operators(cluster, native_gangs=False)
    cluster.create_job(a_job())
    operators.settle_down()
    operators.run(30)
    (key,) = (key for key, record in cluster.records.items() if record.status.phase == "Open")
    operators.leader.watches.hang("jobs")
    (job,) = cluster.jobs
    cluster.delete_job(job)
    operators.run(30)
    assert cluster.records[key].status.phase == "Open"
    operators.leader.watches.relist()
    operators.run(2)
    assert (cluster.records[key].status.phase, cluster.records[key].status.outcome) == ("Settled", "Deleted")


def test_what_waits_for_something_outside_is_told() -> None:
    async def waits() -> None:
        await Forever()

    with pytest.raises(AssertionError, match="outside"):
        at_once(waits())


class Forever:
    """Never done."""

    def __await__(self) -> Any:
        yield


async def test_a_leader_that_wakes_too_late_makes_a_job_that_starts_nothing() -> None:
    """Stopped before the last write of a start; meanwhile the attempt was run, settled and cleaned up by another leader."""
    cluster = a_cluster()
    operators = Operators(cluster, native_gangs=True)
    cluster.create_job(a_job())
    first = operators.leader
    operators.pause_at(8, cycles=8)
    operators.cycle()
    assert first.writes.log[7].startswith("POST Job")
    assert operators.leader is not first
    key = next(iter(cluster.records))
    assert cluster.records[key].status.outcome == Outcome.PREPARED
    ran, late = cluster.history[key]
    assert (ran.bare, late.bare) == (False, True)
    operators.run(3)
    assert key not in cluster.gangs
    assert late.trainer is None


async def test_a_changed_record_is_a_conflict_between_leaders(running: Life) -> None:
    key = next(key for key, each in running.cluster.records.items() if each.status.phase == "Open")
    standing = running.cluster.records[key]
    running.cluster.records[key] = standing.model_copy()
    with pytest.raises(Conflict):
        running.world.store._keep_record(key, standing, over=standing)
