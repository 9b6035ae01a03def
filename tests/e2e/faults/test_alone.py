"""Never over with nobody there: right after two starts the operator is scaled to zero and the kubelet hangs.

One trainer lands inside its own end although its disk is slow; the other is deaf, and its supervisor kills it. When kubelet and
operator return, both records close.
"""

import os
import signal
from contextlib import contextmanager

import pytest
from tests.support.saboteurs import DEAF, SLOW_DISK, code_fault
from tests.support.scene import settled

from farthing.cli.demo.setting import RELEASE, SYSTEM_NAMESPACE
from farthing.kube.resources import PODS
from farthing.local import processes

pytestmark = pytest.mark.e2e

MONEY = "0.0105"
"""75 s of one accelerator: prepare, start-up, some 25 s of training, and the reserve of an orderly end."""


@contextmanager
def operator_away(scene):
    """Scaled to zero and gone."""
    scale = ("-n", SYSTEM_NAMESPACE, "scale", f"deployment/{RELEASE}")
    scene.cluster.kubectl(*scale, "--replicas=0")
    try:
        scene.until(lambda: not scene.api.every(PODS, SYSTEM_NAMESPACE), "the operator to be gone")
        yield
    finally:
        scene.cluster.kubectl(*scale, "--replicas=1")


@contextmanager
def kubelet_hanging(cluster):
    """Alive, but doing nothing."""
    pid = processes.pid_of(cluster.paths, "kubelet")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def alone(scene):
    """Both jobs, closed."""
    slow_disk, slow = code_fault("slow-disk", SLOW_DISK)
    deafness, deaf = code_fault("deaf", DEAF)
    scene.apply(slow_disk, deafness)
    jobs = [scene.submit("landing", MONEY, slow), scene.submit("deaf", MONEY, deaf)]
    scene.until(lambda: all(scene.started(name) for name in jobs), "both attempts to start")
    with operator_away(scene):
        leases = [scene.records(name)[-1] for name in jobs]
        with kubelet_hanging(scene.cluster):
            scene.until_every_gang_is_gone(*leases)
        scene.until(lambda: not any(scene.started(name) for name in jobs), "the kubelet to tell what happened")
        assert [settled(scene.records(name)[-1]) for name in jobs] == [False, False]
    return {name: scene.close(name) for name in jobs}


def test_a_trainer_lands_inside_its_end_although_its_disk_is_slow(alone):
    landing = alone["landing"]
    [record] = landing.trained

    assert landing.job.status.state == "Complete"
    assert (record["status"]["outcome"], record["status"]["exitCode"]) == ("Landed", 0)
    assert record["status"]["lastStep"] > 1
    assert landing.seconds(record) <= record["spec"]["ends"]["trainer"]


def test_a_trainer_that_ignores_everything_is_killed_by_its_supervisor(alone):
    deaf = alone["deaf"]
    record = deaf.trained[0]
    ends, status = record["spec"]["ends"], record["status"]

    assert deaf.job.status.state == "Failed", "what is left buys no further attempt"
    assert (status["outcome"], status["exitCode"]) == ("LeaseEnded", 75)
    assert "killed at the supervisor's end" in status["message"]
    assert ends["trainer"] < deaf.seconds(record) <= ends["supervisor"]
