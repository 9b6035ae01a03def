"""The control plane by itself: side by side, twice, after a crash, and gone; and what kwok makes pods do."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.cluster import kill_everything, new_state

from farthing.local import processes
from farthing.local.down import down
from farthing.local.kwok import FAKE_EXIT_CODE, FAKE_SECONDS, fake_gpu_nodes
from farthing.local.shell import wait_until
from farthing.local.up import up

pytestmark = pytest.mark.controller

NAMESPACE = "kwok"


def living(state):
    """Pids of processes whose command lines name a state directory."""
    return processes.find(lambda words: any(f"{state}/" in word for word in words))


@pytest.fixture
def namespace(control_plane):
    fake_gpu_nodes(control_plane, 2, 8, name="kwok-test", labels={"kwok-test": "yes"})
    control_plane.kubectl("create", "namespace", NAMESPACE)
    yield NAMESPACE
    control_plane.kubectl("delete", "namespace", NAMESPACE)
    control_plane.kubectl("delete", "node", "-l", "kwok-test=yes")


def a_pod(name, accelerators=8, annotations=None, group=None, finalizers=()):
    gang = {"schedulingGroup": {"podGroupName": group}} if group else {}
    container = {"name": "main", "image": "none", "resources": {"limits": {"nvidia.com/gpu": str(accelerators)}}}
    metadata = {"name": name, "namespace": NAMESPACE, "annotations": annotations or {}, "finalizers": list(finalizers)}
    spec = {"restartPolicy": "Never", "nodeSelector": {"kwok-test": "yes"}, "containers": [container], **gang}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def status(control_plane, name):
    return control_plane.get("pod", name, "-n", NAMESPACE)["status"]


def wait_for_phase(control_plane, name, want):
    wait_until(lambda: status(control_plane, name)["phase"] == want, f"pod {name} {want}", seconds=60)


def exit_code(control_plane, name):
    return status(control_plane, name)["containerStatuses"][0]["state"]["terminated"]["exitCode"]


def test_two_stand_side_by_side_and_each_goes_alone():
    states = [new_state("side"), new_state("by")]
    try:
        with ThreadPoolExecutor() as pool:
            one, other = pool.map(lambda state: up("ControlPlane", state, progress=print), states)
        one.kubectl("create", "namespace", "only-in-one")
        assert "only-in-one" in one.kubectl("get", "namespaces")
        assert "only-in-one" not in other.kubectl("get", "namespaces")
        down(states[0], progress=print)
        assert living(states[0]) == []
        assert not states[0].exists()
        assert other.kubectl("get", "--raw", "/readyz") == "ok"
    finally:
        for state in states:
            down(state, progress=print)
    assert living(states[1]) == []


def test_up_twice_keeps_every_process_and_down_twice_is_no_error():
    state = new_state("twice")
    try:
        first = up("ControlPlane", state, progress=print)
        before = {name: processes.pid_of(first.paths, name) for name in processes.names(first.paths)}
        assert up("ControlPlane", state, progress=print).kubeconfig == first.kubeconfig
        assert {name: processes.pid_of(first.paths, name) for name in processes.names(first.paths)} == before
        assert set(before) == {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"}
    finally:
        down(state, progress=print)
    down(state, progress=print)
    assert living(state) == []


def test_after_kill_9_of_everything_up_finds_what_was_there():
    state = new_state("crash")
    try:
        made = up("ControlPlane", state, progress=print)
        made.kubectl("create", "namespace", "survives")
        kill_everything(made)
        assert living(state) == []
        assert "survives" in up("ControlPlane", state, progress=print).kubectl("get", "namespaces")
        for name in processes.names(made.paths):
            pid = processes.pid_of(made.paths, name)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
    finally:
        down(state, progress=print)
    assert living(state) == []
    assert not state.exists()


def test_the_rung_without_gangs_serves_no_pod_group(control_plane, control_plane_without_gangs):
    assert "podgroups" in control_plane.kubectl("api-resources", "--api-group=scheduling.k8s.io")
    assert "podgroups" not in control_plane_without_gangs.kubectl("api-resources", "--api-group=scheduling.k8s.io")


def test_a_pod_runs_until_it_is_deleted(control_plane, namespace):
    control_plane.apply(a_pod("runs"))
    wait_for_phase(control_plane, "runs", "Running")
    control_plane.kubectl("delete", "pod", "runs", "-n", NAMESPACE, "--timeout=30s")
    assert "runs" not in control_plane.kubectl("get", "pods", "-n", NAMESPACE)


@pytest.mark.parametrize(("code", "phase"), [("0", "Succeeded"), ("75", "Failed")])
def test_a_pod_ends_as_its_annotations_say(control_plane, namespace, code, phase):
    name = f"ends-{code}"
    control_plane.apply(a_pod(name, annotations={FAKE_SECONDS: "1s", FAKE_EXIT_CODE: code}))
    wait_for_phase(control_plane, name, phase)
    assert exit_code(control_plane, name) == int(code)


def test_a_deleted_pod_with_a_finalizer_is_terminal_and_stays(control_plane, namespace):
    control_plane.apply(a_pod("held", finalizers=["farthing.dev/ledger"]))
    wait_for_phase(control_plane, "held", "Running")
    control_plane.kubectl("delete", "pod", "held", "-n", NAMESPACE, "--wait=false")
    wait_for_phase(control_plane, "held", "Failed")
    assert exit_code(control_plane, "held") == 143
    control_plane.kubectl("patch", "pod", "held", "-n", NAMESPACE, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    control_plane.kubectl("wait", "pod/held", "-n", NAMESPACE, "--for=delete", "--timeout=30s")


def test_a_gang_waits_for_all_its_accelerators(control_plane, namespace):
    group = {
        "apiVersion": "scheduling.k8s.io/v1beta1",
        "kind": "PodGroup",
        "metadata": {"name": "gang", "namespace": NAMESPACE},
        "spec": {"schedulingPolicy": {"gang": {"minCount": 3}}},
    }
    names = [f"gang-{index}" for index in range(3)]
    control_plane.apply(group, *(a_pod(name, group="gang") for name in names))

    def waits():
        conditions = control_plane.get("podgroup", "gang", "-n", NAMESPACE).get("status", {}).get("conditions", [])
        return any(each["type"] == "PodGroupInitiallyScheduled" and each["status"] == "False" for each in conditions)

    wait_until(waits, "the gang waits whole", seconds=60)
    assert {status(control_plane, name)["phase"] for name in names} == {"Pending"}
    fake_gpu_nodes(control_plane, 3, 8, name="kwok-test", labels={"kwok-test": "yes"})
    for name in names:
        wait_for_phase(control_plane, name, "Running")
