"""An attempt's Job that somebody deletes, in every way that `kubectl delete --cascade` knows; the window of suspended Jobs."""

import pytest
from tests.support.lives import PERIOD, Life, a_cluster, a_job

from farthing.domain.outcome import Outcome
from farthing.simulator.cluster import Cascade
from farthing.simulator.trainer import Behaviour

RUNGS = pytest.mark.parametrize("native_gangs", [True, False], ids=["native gangs", "suspended Job"])


async def running(native_gangs: bool) -> Life:
    """A life in mid-training."""
    life = Life(a_cluster(), native_gangs=native_gangs)
    life.cluster.create_job(a_job())
    assert await life.run(120, until=lambda: life.state() == "Running")
    await life.run(40)
    return life


@RUNGS
@pytest.mark.parametrize("cascade", ["Background", "Foreground", "Orphan"])
async def test_a_deleted_job_is_an_ended_attempt_and_the_next_one_resumes(native_gangs: bool, cascade: Cascade) -> None:
    life = await running(native_gangs)
    (key,) = life.cluster.gangs
    life.cluster.delete_gang(key, cascade)
    assert await life.run(900, until=lambda: life.state() == "Complete")
    assert life.outcomes() == [Outcome.PREPARED, Outcome.STOPPED, Outcome.LANDED]
    stopped, resumed = life.records()[1:]
    assert (stopped.status.lost_steps, stopped.status.estimated) == (0, False)
    assert resumed.status.resumed_from == stopped.status.last_step
    assert not life.cluster.gangs
    assert not life.cluster.children


async def test_a_job_deleted_in_the_foreground_while_its_image_cannot_be_pulled_is_settled() -> None:
    life = Life(a_cluster())
    life.cluster.behaviours["default/tiny"] = Behaviour(pulls=False)
    life.cluster.create_job(a_job())
    assert await life.run(60, until=lambda: bool(life.cluster.gangs))
    await life.run(10)
    (key,) = life.cluster.gangs
    life.cluster.delete_gang(key, "Foreground")
    assert await life.run(60, until=lambda: life.records()[0].status.phase == "Settled")
    assert key not in life.cluster.gangs


@pytest.mark.parametrize("orphan", [True, False])
@RUNGS
async def test_the_job_is_deleted_in_the_foreground_with_its_attempt_running(native_gangs: bool, orphan: bool) -> None:
    life = await running(native_gangs)
    (key,) = life.cluster.gangs
    life.cluster.delete_gang(key, "Foreground")
    life.cluster.delete_job("default/tiny", orphan=orphan)
    await life.run(200)
    assert life.outcomes() == [Outcome.PREPARED, Outcome.DELETED]
    assert not life.cluster.gangs
    assert not life.cluster.children


async def test_suspended_jobs_are_released_one_gang_at_a_time_and_nobody_takes_the_room_between_two_attempts() -> None:
    """No pod ever waits for room: an unreleased Job has none, and a released one fits whole."""
    life = Life(a_cluster(), native_gangs=False)
    for name in ("first", "second", "third"):
        life.cluster.create_job(a_job(name))
    waited: list[str] = []
    for _ in range(400):
        await life.cycle()
        life.cluster.advance(PERIOD)
        waited += [pod.name for gang in life.cluster.gangs.values() for pod in gang.pods if pod.node is None]
        if all(life.state(name) == "Complete" for name in ("first", "second", "third")):
            break
    assert waited == []
    for name in ("first", "second", "third"):
        assert life.outcomes(name) == [Outcome.PREPARED, Outcome.LANDED]


async def test_a_suspended_job_that_never_gets_room_holds_no_money_for_ever() -> None:
    """Opened when there was room, never released since: after the startup timeout it is settled at nothing, and tried again."""
    life = Life(a_cluster(), native_gangs=False)
    life.cluster.create_job(a_job(compute={"accelerators": {"min": 2, "max": 2}, "startupTimeout": "60s"}))
    assert await life.run(60, until=lambda: len(life.records()) == 2)
    life.cluster.set_reachable("node-0", reachable=False)
    (gang,) = [gang for gang in life.cluster.gangs.values() if gang.job is not None and gang.job.suspended]
    assert await life.run(120, until=lambda: life.records()[1].status.phase == "Settled")
    assert gang.pods == []
    assert life.outcomes()[1] == Outcome.NEVER_STARTED
    life.cluster.set_reachable("node-0", reachable=True)
    assert await life.run(900, until=lambda: life.state() == "Complete")


async def test_a_job_deleted_while_its_gang_waits_suspended_leaves_nothing_behind() -> None:
    life = Life(a_cluster(), native_gangs=False)
    life.cluster.create_job(a_job())
    await life.cycle()
    assert life.records()[0].status.phase == "Open"
    life.cluster.delete_job("default/tiny")
    await life.run(90)
    assert life.outcomes() == [Outcome.NEVER_STARTED]
    assert not life.cluster.gangs
    assert not life.cluster.children
