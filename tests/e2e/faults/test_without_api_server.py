"""Never over with the API server dead across the end: the kubelet alone ends the attempt, and the bill is right afterwards."""

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


def test_the_kubelet_alone_ends_what_its_supervisor_does_not(scene):
    deafness, deaf = code_fault("deaf", DEAF)
    unguarded, no_supervisor = without_supervisor()
    scene.apply(deafness, unguarded)
    name = scene.submit("kubelet-alone", MONEY, deaf, no_supervisor)
    scene.until_it_trains(name)

    lease = scene.records(name)[-1]
    with without_api_server(scene.cluster):
        scene.until_every_gang_is_gone(lease)
    job = scene.close(name)

    record = job.trained[0]
    ends = record["spec"]["ends"]
    assert record["status"]["outcome"] == "LeaseEnded"
    assert ends["supervisor"] < job.seconds(record) <= ends["hard"]
