"""Answers of the API server become one of our errors, with its own text."""

import json

import pytest
from tests.support.manifests import JOB, changed

from farthing.api import BudgetedTrainingJob
from farthing.errors import Conflict, Refused, Unreachable
from farthing.kube import resources as of
from farthing.kube.books import JobVersions
from farthing.kube.client import Gone, Taken, error_for
from farthing.kube.recorder import event_name


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (409, Conflict),
        (410, Gone),
        (403, Refused),
        (422, Refused),
        (400, Refused),
        (401, Refused),
        (429, Unreachable),
        (500, Unreachable),
        (503, Unreachable),
        (504, Unreachable),
    ],
)
def test_errors(status, kind):
    error = error_for(status, json.dumps({"kind": "Status", "message": "exceeded quota: team"}))
    assert type(error) is kind
    assert str(error) == "exceeded quota: team"


def test_a_name_that_is_taken_is_told_from_other_conflicts():
    assert type(error_for(409, json.dumps({"reason": "AlreadyExists", "message": "taken"}))) is Taken
    assert type(error_for(409, json.dumps({"reason": "Conflict", "message": "resourcequotas changed"}))) is Conflict


@pytest.mark.parametrize(("body", "text"), [("upstream timed out\n", "upstream timed out"), ("", "HTTP 502"), ("[1]", "[1]")])
def test_answers_that_are_no_status(body, text):
    assert str(error_for(502, body)) == text


def test_paths():
    assert (
        of.TRAINING_JOBS.path("team", "lm", "status")
        == "/apis/farthing.dev/v1alpha1/namespaces/team/budgetedtrainingjobs/lm/status"
    )
    assert of.POOLS.path("ignored", "slots") == "/apis/farthing.dev/v1alpha1/gpunodepools/slots"
    assert of.PODS.path() == "/api/v1/pods"
    assert of.resource_of({"apiVersion": "batch/v1", "kind": "Job"}) is of.JOBS
    with pytest.raises(ValueError, match="apps/v1 Deployment"):
        of.resource_of({"apiVersion": "apps/v1", "kind": "Deployment"})


def job(version="7", uid="uid-1"):
    return BudgetedTrainingJob.model_validate(changed(JOB, {"metadata.resourceVersion": version, "metadata.uid": uid}))


def written(version, *holds):
    return {"metadata": {"resourceVersion": version}, "status": {"holds": list(holds)}}


def test_own_writes_are_followed_through_a_chain():
    versions = JobVersions()
    assert versions.newest(job()).version == "7"
    versions.wrote("uid-1", "7", written("8", {"attempt": "a"}))
    versions.wrote("uid-1", "8", written("9"))
    assert (versions.newest(job()).version, versions.newest(job()).holds) == ("9", [])
    assert versions.newest(job("8")).version == "9"
    assert versions.newest(job("6")).version == "6"
    assert versions.newest(job(uid="uid-2")).version == "7"
    versions.new_cycle()
    assert versions.newest(job()).version == "7"


def test_event_names_are_the_same_for_the_same_event():
    assert event_name(job(), "Queued", "no room") == event_name(job("9"), "Queued", "no room")
    assert event_name(job(), "Queued", "no room") != event_name(job(), "Queued", "room")
    assert event_name(job(), "Queued", "no room") != event_name(job(uid="uid-2"), "Queued", "no room")
