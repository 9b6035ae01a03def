"""Never over with parts of Kubernetes dead across the end: the stop that is left does it alone, and the bill is right."""

import os
import signal
from contextlib import contextmanager

import pytest
from tests.support.saboteurs import DEAF, code_fault, without_supervisor

from farthing.local import processes
from farthing.local.up import up

pytestmark = pytest.mark.e2e

MONEY = "0.0095"
"""68 s of one accelerator, most of them start-up and reserve."""


@contextmanager
def without_api_server(cluster):
    """Killed at once; `farthing up` brings it back."""
    processes.stop(cluster.paths, "kube-apiserver", sig=signal.SIGKILL)
    try:
        yield
    finally:
        up("Cluster", cluster.state)


@contextmanager
def kubelet_paused(cluster):
    """Alive, but doing nothing: like a node that hangs."""
    pid = processes.pid_of(cluster.paths, "kubelet")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_without_api_server_the_kubelet_alone_ends_the_attempt(scene):
    deafness, deaf = code_fault("deaf", DEAF)
    unguarded, no_supervisor = without_supervisor()
    scene.apply(deafness, unguarded)
    name = scene.submit("kubelet-alone", MONEY, deaf, no_supervisor)
    scene.until_it_trains(name)

    lease = scene.records(name)[-1]
    with without_api_server(scene.cluster):
        scene.until_its_gang_is_gone(lease)
    job = scene.close(name)

    record = job.trained[0]
    ends = record["spec"]["ends"]
    assert record["status"]["outcome"] == "LeaseEnded"
    assert ends["supervisor"] < job.seconds(record) <= ends["hard"]


def test_with_the_kubelet_hanging_the_supervisor_ends_the_attempt(scene):
    deafness, deaf = code_fault("deaf", DEAF)
    scene.apply(deafness)
    name = scene.submit("supervisor-alone", MONEY, deaf)
    scene.until_it_trains(name)

    lease = scene.records(name)[-1]
    with kubelet_paused(scene.cluster):
        scene.until_its_gang_is_gone(lease)
    job = scene.close(name)

    record = job.trained[0]
    ends = record["spec"]["ends"]
    assert (record["status"]["outcome"], record["status"]["exitCode"]) == ("LeaseEnded", 75)
    assert ends["trainer"] < job.seconds(record) <= ends["supervisor"]
