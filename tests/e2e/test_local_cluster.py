"""The local cluster itself: pods, names, gangs, images and volumes, running `up` twice, and crashes of its parts."""

import json
import os
import shutil
import signal
import urllib.request

import pytest
from tests.support.cluster import kill_everything, new_state

from farthing.errors import LocalClusterError
from farthing.local import cgroups, images, processes
from farthing.local.baseline import PROC_SYS, RESERVED_PORTS
from farthing.local.down import down
from farthing.local.paths import checkout
from farthing.local.rate import load_rate
from farthing.local.shell import wait_until
from farthing.local.teardown import kill_shims
from farthing.local.up import up
from farthing.local.volumes import STORAGE_CLASS, local_volume

pytestmark = pytest.mark.e2e

NAMESPACE = "local-cluster"


@pytest.fixture(scope="module")
def frozen_checkout(tmp_path_factory):
    """A copy of what images are made of, so that nobody's editing makes another image half-way."""
    root, copy = checkout(), tmp_path_factory.mktemp("checkout")
    for name in ("Dockerfile", ".dockerignore", "pyproject.toml", "constraints.txt"):
        shutil.copy2(root / name, copy)
    for name in ("operator", "trainer_image", "scripts"):
        shutil.copytree(root / name, copy / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "checkout", lambda: copy)
        yield copy


@pytest.fixture(scope="module")
def image(cluster, frozen_checkout):
    return images.build_and_push(cluster, "operator")


@pytest.fixture
def namespace(cluster):
    cluster.kubectl("create", "namespace", NAMESPACE)
    labels = ["enforce=restricted", "enforce-version=latest"]
    cluster.kubectl("label", "namespace", NAMESPACE, *(f"pod-security.kubernetes.io/{label}" for label in labels))
    yield NAMESPACE
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=true")


def a_pod(name, image, program, **spec):
    """A restricted pod that runs a line of Python."""
    container = {
        "name": "main",
        "image": image,
        "command": ["python", "-c", program],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **spec.pop("container", {}),
    }
    security = {"runAsNonRoot": True, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}, **spec.pop("metadata", {})},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "securityContext": security,
            "containers": [container],
            **spec,
        },
    }


def a_gang_worker(name, image, group):
    """A pod that runs until it is deleted, holds one slot and belongs to a gang."""
    slots = {"resources": {"limits": {"farthing.dev/cpu-slot": "1"}}}
    return a_pod(name, image, "import time; time.sleep(600)", container=slots, schedulingGroup={"podGroupName": group})


def a_gang(name, size):
    policy = {"schedulingPolicy": {"gang": {"minCount": size}}}
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "scheduling.k8s.io/v1beta1", "kind": "PodGroup", "metadata": metadata, "spec": policy}


def phase(cluster, name):
    return cluster.get("pod", name, "-n", NAMESPACE)["status"]["phase"]


def wait_for_phase(cluster, name, want, seconds=90):
    wait_until(lambda: phase(cluster, name) == want, f"pod {name} {want}", seconds=seconds)


def log_of(cluster, name):
    return cluster.kubectl("logs", name, "-n", NAMESPACE)


def layers(cluster, reference):
    """The digests of an image's layers, base first, as the registry lists them."""
    registry, _, name = reference.partition("/")
    repository, _, tag = name.partition(":")
    kind = "application/vnd.oci.image.manifest.v1+json"
    request = urllib.request.Request(f"http://{registry}/v2/{repository}/manifests/{tag}", headers={"Accept": kind})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return [layer["digest"] for layer in json.load(answer)["layers"]]


def pids(cluster):
    return {name: processes.pid_of(cluster.paths, name) for name in processes.names(cluster.paths)}


def test_a_restricted_pod_runs_its_image_and_can_be_read_and_entered(cluster, namespace, image):
    cluster.apply(a_pod("hello", image, "import os, time; print('I am', os.getuid()); time.sleep(600)"))
    wait_for_phase(cluster, "hello", "Running")
    wait_until(lambda: "I am 10001" in log_of(cluster, "hello"), "the pod's words", seconds=30)
    assert "inside" in cluster.kubectl("exec", "hello", "-n", NAMESPACE, "--", "python", "-c", "print('inside')")


def test_members_of_a_headless_service_find_one_another_and_the_api(cluster, namespace, image):
    names = "peer-1.peers", f"peer-1.peers.{NAMESPACE}.svc.cluster.local", "kubernetes.default.svc"
    program = (
        "import socket, time\n"
        "def find(name):\n"
        "    while True:\n"
        "        try: return socket.gethostbyname(name)\n"
        "        except OSError: time.sleep(0.1)\n"
        f"print([find(name) for name in {names!r}], flush=True)\n"
        "socket.create_connection(('kubernetes.default.svc', 443), 5).close()\n"
    )
    ports = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"gang": "peers"}, "ports": [{"port": 29400}]}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "peers", "namespace": NAMESPACE}, "spec": ports},
        *(
            a_pod(name, image, program, metadata={"labels": {"gang": "peers"}}, hostname=name, subdomain="peers")
            for name in ("peer-0", "peer-1")
        ),
    )
    wait_for_phase(cluster, "peer-0", "Succeeded")
    address = cluster.get("pod", "peer-1", "-n", NAMESPACE)["status"]["podIP"]
    assert log_of(cluster, "peer-0").strip() == str([address, address, "10.96.0.1"])


def test_a_gang_starts_whole_or_not_at_all(cluster, namespace, image):
    cluster.apply(a_gang("first", 2), *(a_gang_worker(f"first-{index}", image, "first") for index in range(2)))
    for index in range(2):
        wait_for_phase(cluster, f"first-{index}", "Running")
    cluster.apply(a_gang("second", 2), *(a_gang_worker(f"second-{index}", image, "second") for index in range(2)))

    def refused():
        conditions = cluster.get("podgroup", "second", "-n", NAMESPACE).get("status", {}).get("conditions", [])
        return any(each["type"] == "PodGroupInitiallyScheduled" and each["status"] == "False" for each in conditions)

    wait_until(refused, "the second gang waits", seconds=60)
    assert {phase(cluster, f"second-{index}") for index in range(2)} == {"Pending"}
    cluster.kubectl("delete", "pod", "first-0", "first-1", "-n", NAMESPACE)
    for index in range(2):
        wait_for_phase(cluster, f"second-{index}", "Running")


def test_what_a_pod_writes_to_a_local_volume_is_on_the_machine(cluster, namespace, image, tmp_path_factory):
    folder = tmp_path_factory.mktemp("volume")
    local_volume(cluster, "e2e-volume", folder, "1Gi")
    spec = {"accessModes": ["ReadWriteMany"], "storageClassName": STORAGE_CLASS, "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": "data", "namespace": NAMESPACE}
    cluster.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    mounted = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    cluster.apply(a_pod("writer", image, "open('/data/word', 'w').write('kept')", container=mounted, volumes=volumes))
    wait_for_phase(cluster, "writer", "Succeeded")
    assert (folder / "word").read_text() == "kept"
    cluster.kubectl("delete", "pod", "writer", "-n", NAMESPACE)
    cluster.kubectl("delete", "pvc", "data", "-n", NAMESPACE)
    local_volume(cluster, "e2e-volume", folder, "1Gi")
    released = "a volume without its claim can be claimed again"
    wait_until(lambda: cluster.get("pv", "e2e-volume")["status"]["phase"] == "Available", released, seconds=30)
    cluster.kubectl("delete", "pv", "e2e-volume")


def test_up_again_changes_nothing(cluster):
    before = pids(cluster)
    objects = cluster.get("node,service,endpointslice,clusterrolebinding,storageclass", "-A")["items"]
    again = up("Cluster", cluster.state)
    assert again.kubeconfig == cluster.kubeconfig
    assert pids(cluster) == before
    versions = {item["metadata"]["uid"]: item["metadata"].get("generation") for item in objects}
    later = cluster.get("node,service,endpointslice,clusterrolebinding,storageclass", "-A")["items"]
    assert {item["metadata"]["uid"]: item["metadata"].get("generation") for item in later} == versions


def test_the_same_content_is_the_same_image_and_is_pushed_once(cluster, image):
    assert images.build_and_push(cluster, "operator") == image


def test_a_change_of_code_moves_one_small_layer(cluster, image, frozen_checkout):
    before = layers(cluster, image)
    with (frozen_checkout / "operator" / "farthing" / "units.py").open("a") as code:
        code.write("# changed\n")
    changed = images.build_and_push(cluster, "operator")
    assert changed != image
    after = layers(cluster, changed)
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]


def test_the_node_offers_slots_that_were_measured(cluster):
    node = cluster.get("node", cluster.node_name)
    assert node["status"]["allocatable"]["farthing.dev/cpu-slot"] == "2"
    assert node["metadata"]["labels"]["farthing.dev/pool"] == "cpu"
    rate = load_rate(cluster.rate_file)
    assert rate.slots == 2
    assert rate.flops_per_second > 1e8
    assert rate.bytes_per_second > 1e8


@pytest.mark.parametrize(
    "victim",
    [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "containerd",
        "kube-proxy",
        "coredns",
        "registry",
    ],
)
def test_up_mends_a_part_that_was_killed_and_pods_run_on(cluster, namespace, image, victim):
    cluster.apply(a_pod("survivor", image, "import time; time.sleep(600)"))
    wait_for_phase(cluster, "survivor", "Running")
    pid = processes.pid_of(cluster.paths, victim)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: processes.pid_of(cluster.paths, victim) is None, f"{victim} dead", seconds=10)
    up("Cluster", cluster.state)
    assert processes.pid_of(cluster.paths, victim) not in (None, pid)
    status = cluster.get("pod", "survivor", "-n", NAMESPACE)["status"]
    assert (status["phase"], status["containerStatuses"][0]["restartCount"]) == ("Running", 0)


def test_up_after_everything_was_killed_finds_the_pods_running(cluster, namespace, image):
    cluster.apply(a_pod("survivor", image, "import time; time.sleep(600)"))
    wait_for_phase(cluster, "survivor", "Running")
    container = cluster.get("pod", "survivor", "-n", NAMESPACE)["status"]["containerStatuses"][0]["containerID"]
    kill_everything(cluster)
    up("Cluster", cluster.state)
    cluster.apply(a_pod("afterwards", image, "print('fine')"))
    wait_for_phase(cluster, "afterwards", "Succeeded")
    status = cluster.get("pod", "survivor", "-n", NAMESPACE)["status"]["containerStatuses"][0]
    assert (status["containerID"], status["restartCount"]) == (container, 0)


def test_up_after_the_machine_was_lost_says_so_of_its_pods_and_runs_new_ones(cluster, namespace, image):
    cluster.apply(a_pod("lost", image, "import time; time.sleep(600)"))
    wait_for_phase(cluster, "lost", "Running")
    kill_everything(cluster)
    kill_shims(cluster.paths)
    cgroups.kill_all()
    up("Cluster", cluster.state)
    wait_for_phase(cluster, "lost", "Failed")
    cluster.apply(a_pod("afterwards", image, "print('fine')"))
    wait_for_phase(cluster, "afterwards", "Succeeded")


def test_a_second_cluster_cannot_take_the_machine(cluster):
    other = new_state("second")
    with pytest.raises(LocalClusterError, match=f"belongs to the cluster in {cluster.state}"):
        up("Cluster", other)
    down(other)


def test_the_kernel_gives_the_clusters_ports_to_nobody_else(cluster):
    spans = [span.split("-") for span in (PROC_SYS / RESERVED_PORTS).read_text().strip().split(",")]
    reserved = {port for span in spans for port in range(int(span[0]), int(span[-1]) + 1)}
    assert reserved >= set(cluster.decisions.ports.values())


def test_the_administrators_kubeconfig_is_private(cluster):
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert json.loads(cluster.kubeconfig.read_text())["current-context"] == "farthing"
