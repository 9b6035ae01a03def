"""An attempt's Job is deleted without its pods: they are asked for a checkpoint, ended, and removed after their bill."""

from dataclasses import replace

import pytest
from tests.support.lives import Life, a_cluster, a_job

from farthing.domain.decision import EndPods
from farthing.domain.outcome import Outcome
from farthing.domain.snapshot import Attempt
from farthing.engine.situations import leftovers
from farthing.simulator.trainer import Behaviour


async def orphaned(behaviour: Behaviour) -> Life:
    """A job that trains, its batch Job deleted with `--cascade=orphan`."""
    life = Life(a_cluster())
    life.cluster.behaviours["default/tiny"] = behaviour
    life.cluster.create_job(a_job())
    assert await life.run(120, until=lambda: life.state() == "Running")
    (gang,) = life.cluster.gangs.values()
    gang.job = None
    return life


@pytest.mark.parametrize("behaviour", [Behaviour(), Behaviour(answers=False)], ids=["a good trainer", "a deaf one"])
async def test_its_pods_end_its_bill_is_settled_and_the_job_goes_on(behaviour: Behaviour) -> None:
    life = await orphaned(behaviour)
    assert await life.run(300, until=lambda: len(life.records()) == 3)
    first = life.records()[1]
    assert first.status.phase == "Settled"
    assert first.status.outcome in (Outcome.STOPPED, Outcome.DISRUPTED)
    assert "EndPods" in [entry.action for entry in life.job().status.decisions]
    assert first.metadata.name not in {key.split("/")[1] for key in life.cluster.gangs}


async def test_they_are_deleted_once() -> None:
    life = await orphaned(Behaviour(answers=False))
    ended = 0
    for _ in range(20):
        ended += sum(isinstance(action, EndPods) for action in (await life.cycle()).actions)
        life.cluster.advance(1)
    assert ended == 1


async def test_pods_that_nobody_owns_are_leftovers_until_somebody_deletes_them() -> None:
    life = await orphaned(Behaviour())
    (view,) = (await life.world.observe()).jobs
    attempt = view.attempts[-1]
    pods = tuple(replace(pod, held=False, ownerless=True) for pod in attempt.pods)
    settled = Attempt(attempt.record, pods=pods)
    assert leftovers(settled)
    going = tuple(replace(pod, deleted_at=life.cluster.clock.now()) for pod in pods)
    assert not leftovers(replace(settled, pods=going))
