"""States that the table cannot show: what counts as started."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.lives import SETTINGS, Life, a_cluster, a_job
from tests.unit.ledger.builders import record

from farthing.contract.progress import Progress
from farthing.domain.snapshot import Attempt, JobFacts, PodFacts
from farthing.engine.lifecycle import Observation, State
from farthing.engine.situations import attempt_observations, attempt_state, over, startup_deadline


@pytest.fixture
async def life() -> Life:
    life = Life(a_cluster())
    life.cluster.create_job(a_job())
    assert await life.run(120, until=lambda: life.state() == "Running")
    return life


async def not_ready(life: Life, **report: Any) -> tuple[Any, Attempt]:
    """The running attempt as seen when its pods have lost readiness and its trainer last said this."""
    snapshot = await life.world.observe()
    (view,) = snapshot.jobs
    attempt = view.open_attempt
    assert attempt is not None
    pods = tuple(replace(pod, ready=False) for pod in attempt.pods)
    progress = Progress(attempt=attempt.name, stage="Train", started="2026-01-01T00:00:00Z", **report) if report else None
    return view, replace(attempt, pods=pods, progress=progress)


@pytest.mark.parametrize(
    ("report", "state", "late"),
    [
        ({}, State.STARTING, True),
        ({"phase": "Loading"}, State.STARTING, True),
        ({"phase": "Training"}, State.RUNNING, False),
        ({"phase": "Finished"}, State.RUNNING, False),
    ],
)
async def test_a_gang_that_trained_is_never_late_again(life: Life, report: Any, state: State, late: bool) -> None:
    view, attempt = await not_ready(life, **report)
    now = startup_deadline(attempt) + timedelta(seconds=1)
    assert attempt_state(attempt, None) is state
    assert (Observation.LATE in set(attempt_observations(view, attempt, state, SETTINGS, now))) is late


@pytest.mark.parametrize(("deleting", "want"), [(True, True), (False, False)])
def test_a_job_that_is_being_deleted_makes_no_pod_again(deleting: bool, want: bool) -> None:
    """Deleted in the foreground it may never say that it failed: its pods alone tell when the attempt is over."""
    job = JobFacts(name="tiny-1", uid="u", suspended=False, deleting=deleting)
    ended = PodFacts(name="tiny-1-0", uid="p", index=0, phase="Failed")
    assert over(Attempt(record=record(), job=job, pods=(ended,))) is want
