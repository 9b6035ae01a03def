"""What a cluster leaves behind: nothing, also when it is taken down in mid-job, and after `kill -9` of all its processes.

These tests come last: they take the tier's cluster away.
"""

import os
import signal
from contextlib import suppress

import pytest
from tests.support import machine
from tests.support.scene import workers

from farthing.cli.cluster import Cluster
from farthing.cli.demo import deploy
from farthing.cli.demo.scenario import set_the_stage, submit
from farthing.cli.demo.setting import NAMESPACE, PATIENT
from farthing.cli.where import Where
from farthing.local import cgroups, processes
from farthing.local.down import down
from farthing.local.shell import wait_until
from farthing.local.teardown import shims
from farthing.local.up import up

pytestmark = pytest.mark.e2e

PATIENCE = 600.0
PODS = ("first", "second")


def test_down_in_mid_job_leaves_the_machine_as_it_was(cluster, images, setting, machine_before):
    """A gang at work, the operator beside it, and nobody told anybody anything before."""
    deploy.install_operator(cluster, setting, images["operator"], images["trainer"])
    with Cluster(Where(kubeconfig=cluster.kubeconfig, namespace=NAMESPACE)) as api:
        set_the_stage(cluster, api, setting, print)
        submit(api, setting, PATIENT)
        wait_until(workers, "a worker that trains", seconds=PATIENCE)

    down(cluster.state)

    assert workers() == []
    assert machine_before.difference(machine.look()) == {}


def test_down_after_every_process_was_killed_at_once_leaves_the_machine_as_it_was(cluster, machine_before):
    """Components, shims and what runs in the pods, before any of them could see another one die."""
    again = up("Cluster", cluster.state)
    image = f"{again.registry}/farthing/pause:{again.binaries['pause'].name.removeprefix('pause-')}"
    again.kubectl("wait", "serviceaccount/default", "--for=create", "--timeout=60s")
    again.apply(*(a_pod_with_mounts(name, image) for name in PODS))
    again.kubectl("wait", *(f"pod/{name}" for name in PODS), "--for=condition=Ready", "--timeout=120s")
    doomed = everything_of(again)
    assert len(doomed) > len(PODS) * 2

    for pid in doomed:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not everything_of(again), "every process to be gone", seconds=30)
    down(again.state)

    assert machine_before.difference(machine.look()) == {}


def everything_of(cluster):
    """The pids of components, shims and containers."""
    components = (processes.pid_of(cluster.paths, name) for name in processes.names(cluster.paths))
    return [pid for pid in components if pid is not None] + shims(cluster.paths) + list(cgroups.members())


def a_pod_with_mounts(name, image):
    """A pod that does nothing, with each kind of mount that a worker has."""
    volumes = [
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "disk", "emptyDir": {}},
        {"name": "config", "configMap": {"name": "kube-root-ca.crt"}},
    ]
    container = {
        "name": "main",
        "image": image,
        "volumeMounts": [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes],
    }
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container], "volumes": volumes}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}
