"""Facts of pods and Jobs: one recorded object for every way in which an attempt ends."""

import copy
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kube import pods

from farthing.kube import facts

T0 = datetime(2026, 11, 24, 10, tzinfo=UTC)
ENDED = T0 + timedelta(minutes=5)


def test_running_pod():
    seen = facts.pod_facts(pods.RUNNING)
    assert (seen.phase, seen.node, seen.ip, seen.index, seen.ready) == ("Running", "gpu-0", "10.244.0.7", 0, True)
    assert seen.bound_at == T0
    assert seen.started_at == T0 + timedelta(seconds=1)
    assert (seen.finished_at, seen.terminal_at, seen.exit_code, seen.last_word) == (None, None, None, None)
    assert seen.held
    assert not seen.terminal


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (pods.JOB_DELETED, {"exit_code": 143, "deleted_at": ENDED, "finished_at": ENDED, "container_reason": "Error"}),
        (pods.GRACE_EXCEEDED, {"exit_code": 137, "deleted_at": ENDED, "last_word": None}),
        (pods.FORCE_DELETED, {"exit_code": 143, "deleted_at": ENDED}),
        (pods.POD_DEADLINE, {"exit_code": 143, "pod_reason": "DeadlineExceeded", "deleted_at": None}),
        (pods.JOB_DEADLINE, {"exit_code": 143, "pod_reason": None, "deleted_at": ENDED}),
        (pods.TRY_AGAIN, {"exit_code": 75, "deleted_at": None}),
        (pods.LANDED, {"exit_code": 0, "phase": "Succeeded", "container_reason": "Completed"}),
        (pods.NODE_CAME_BACK, {"exit_code": 255, "container_reason": "Unknown", "last_word": None, "finished_at": ENDED}),
        (pods.OUT_OF_MEMORY, {"exit_code": 137, "container_reason": "OOMKilled"}),
        (
            pods.image_missing(),
            {"exit_code": 137, "container_reason": "ContainerStatusUnknown", "finished_at": None, "terminal_at": ENDED},
        ),
        (
            pods.deleted_unscheduled(),
            {"exit_code": None, "bound_at": None, "node": None, "disrupted": True, "terminal_at": ENDED},
        ),
    ],
)
def test_ends(pod, expected):
    seen = facts.pod_facts(pod)
    assert seen.terminal
    assert {name: getattr(seen, name) for name in expected} == expected


def test_last_word_is_parsed():
    word = facts.pod_facts(pods.JOB_DELETED).last_word
    assert word is not None
    assert (word.exit_code, word.reason) == (143, "StoppedOnRequest")
    assert word.progress is not None
    assert word.progress.step == 120


@given(st.text())
def test_garbled_last_words_are_absent(text):
    assert facts.parse_last_word(text) is None


def test_a_last_word_cut_in_the_middle_is_absent():
    assert facts.parse_last_word(pods.LAST_WORD[:-20]) is None


def test_why_it_waits():
    seen = facts.pod_facts(pods.waiting("ImagePullBackOff", "manifest unknown"))
    assert (seen.waiting_reason, seen.waiting_message) == ("ImagePullBackOff", "manifest unknown")
    assert facts.pod_facts(pods.waiting("ContainerCreating", "")).waiting_reason is None


def test_why_it_is_not_scheduled():
    pod = copy.deepcopy(pods.RUNNING)
    pod["status"] = {
        "phase": "Pending",
        "conditions": [pods.condition("PodScheduled", "False", pods.BOUND, "Unschedulable", "no room")],
    }
    seen = facts.pod_facts(pod)
    assert (seen.waiting_reason, seen.waiting_message) == ("Unschedulable", "no room")


def test_a_pod_without_any_status():
    seen = facts.pod_facts({"metadata": {"name": "p", "uid": "u"}, "spec": {}})
    assert (seen.phase, seen.bound_at, seen.held, seen.index) == ("Pending", None, False, 0)


def test_job_announcements_are_not_ends():
    announced = pods.job(
        pods.condition("FailureTarget", "True", pods.ENDED), pods.condition("SuccessCriteriaMet", "True", pods.ENDED)
    )
    seen = facts.job_facts(announced)
    assert (seen.complete, seen.failed, seen.finished_at) == (False, False, None)


def test_job_ends():
    failed = facts.job_facts(pods.job(pods.condition("Failed", "True", pods.ENDED, "PodFailurePolicy")))
    assert (failed.failed, failed.failed_reason, failed.finished_at) == (True, "PodFailurePolicy", ENDED)
    complete = facts.job_facts(pods.job(pods.condition("Complete", "True", pods.ENDED)))
    assert (complete.complete, complete.finished_at, complete.active_deadline_seconds) == (True, ENDED, 900)


def test_suspended_job_has_not_started():
    seen = facts.job_facts(pods.job(suspend=True, start=None))
    assert (seen.suspended, seen.started_at) == (True, None)


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("4", 4),
        (4, 4),
        ("500m", 0),
        ("2500m", 2),
        ("64Gi", 64 * 2**30),
        ("1e3", 1000),
        ("1.5G", 1_500_000_000),
        ("12E", 12 * 10**18),
    ],
)
def test_whole(quantity, expected):
    assert facts.whole(quantity) == expected


def test_requests_are_what_the_scheduler_charges():
    pod = {
        "spec": {
            "containers": [{"resources": {"requests": {"g": "2"}}}, {"resources": {"limits": {"g": "1"}}}, {"resources": None}],
            "initContainers": [{"resources": {"requests": {"g": "5"}}}],
        }
    }
    assert facts.pod_requests(pod, "g") == 5
    assert facts.pod_requests({"spec": {"containers": pod["spec"]["containers"]}}, "g") == 3


def test_terminal_pods_free_their_node_even_while_held():
    assert facts.occupies(pods.RUNNING)
    assert not facts.occupies(pods.JOB_DELETED)
