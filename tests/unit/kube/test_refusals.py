"""Events of a Job are asked for only while it lacks pods, and what they say goes with the lack."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.support.manifests import RECORD

from farthing.api import SpendRecord
from farthing.clock import FakeClock
from farthing.domain.snapshot import Attempt, JobFacts, JobView, PodFacts, Snapshot
from farthing.errors import Unreachable
from farthing.kube.refusals import PATIENCE, PodRefusals

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
JOB = JobFacts(name="tiny-0a1b2-1", uid="job-uid", suspended=False, started_at=NOW)
POD = PodFacts(name="p", uid="u", index=0, phase="Pending")


def event(minute, message):
    return {"metadata": {}, "lastTimestamp": f"2026-11-24T12:{minute:02}:00Z", "message": message}


class Events:
    """The API server's side: the Events there are, and who asked for them."""

    def __init__(self):
        self.items = [event(2, "exceeded quota: newest"), event(1, "exceeded quota: older")]
        self.asked = []
        self.error = None

    async def list_items(self, path, *, fields):
        self.asked.append((path, fields))
        if self.error is not None:
            raise self.error
        return self.items


@pytest.fixture
def events():
    return Events()


@pytest.fixture
def clock():
    return FakeClock(NOW + PATIENCE)


@pytest.fixture
def refusals(events, clock):
    return PodRefusals(events, clock)


def attempt(job=JOB, pods=()):
    return Attempt(record=SpendRecord.model_validate(RECORD), job=job, pods=pods)


def shown(refusals, one):
    view = JobView(job=None, priority=0, attempts=(one,))
    return refusals.shown(Snapshot(now=NOW, jobs=(view,))).jobs[0].attempts[0].pods_refused


async def test_the_newest_refusal_is_shown_and_told_once(refusals, events):
    assert await refusals.poll([attempt(pods=(POD,))]) == ("job-uid",)
    assert shown(refusals, attempt(pods=(POD,))) == "exceeded quota: newest"
    assert await refusals.poll([attempt(pods=(POD,))]) == ()
    path, fields = events.asked[0]
    assert path == "/api/v1/namespaces/default/events"
    assert fields == ("involvedObject.kind=Job,involvedObject.name=tiny-0a1b2-1,involvedObject.uid=job-uid,reason=FailedCreate")


@pytest.mark.parametrize(
    "whole",
    [
        attempt(pods=(POD, POD)),
        attempt(job=None),
        attempt(job=JobFacts("j", "u", suspended=True, started_at=NOW)),
        attempt(job=JobFacts("j", "u", suspended=False, started_at=None)),
        attempt(job=JobFacts("j", "u", suspended=False, started_at=NOW, failed=True)),
        attempt(job=JobFacts("j", "u", suspended=False, started_at=NOW, deleting=True)),
        attempt(job=JobFacts("j", "u", suspended=False, started_at=NOW + timedelta(seconds=1))),
    ],
    ids=["all pods", "no job", "suspended", "not started", "failed", "deleted", "just made"],
)
async def test_nobody_is_asked_where_nothing_lacks_or_it_is_too_early(refusals, events, whole):
    assert await refusals.poll([whole]) == ()
    assert events.asked == []


async def test_the_refusal_goes_with_the_lack(refusals):
    await refusals.poll([attempt()])
    assert shown(refusals, attempt(pods=(POD, POD))) is None
    assert await refusals.poll([attempt(pods=(POD, POD))]) == ("job-uid",)
    assert shown(refusals, attempt()) is None


async def test_no_answer_keeps_what_was_known(refusals, events):
    await refusals.poll([attempt()])
    events.error = Unreachable("away")
    assert await refusals.poll([attempt()]) == ()
    assert shown(refusals, attempt()) == "exceeded quota: newest"


async def test_no_event_is_no_refusal(refusals, events):
    events.items = []
    assert await refusals.poll([attempt()]) == ()
    assert shown(refusals, attempt()) is None
