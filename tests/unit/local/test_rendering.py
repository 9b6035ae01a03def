"""Configuration files and command lines, rendered without a cluster."""

import ast
import json
import tomllib

import pytest
import yaml

from farthing.local import containerd, controlplane, kubelet, registry, services
from farthing.local.kwok import STAGES
from farthing.local.network import DNS_SERVICE
from farthing.local.paths import Paths
from farthing.local.rate import METHOD, PROGRAM
from farthing.local.state import PORT_NAMES, ClusterState
from farthing.settings import Settings


@pytest.fixture
def paths(tmp_path):
    return Paths(state=tmp_path / "state", cache=tmp_path / "cache", image_store=tmp_path / "images")


def decisions(profile="Cluster", *, native_gangs=True):
    ports = {name: 20000 + index for index, name in enumerate(PORT_NAMES)}
    return ClusterState(profile, native_gangs, "192.0.2.7", ports)


def test_containerd_keeps_everything_below_our_directories(paths):
    config = tomllib.loads(containerd.render_config(paths, "localhost:5000/pause:1"))
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert config["root"] == str(paths.containerd_root)
    assert config["state"] == str(paths.containerd_state)
    assert config["grpc"]["address"] == str(paths.containerd_socket)
    assert cri["sandbox_image"] == "localhost:5000/pause:1"
    assert cri["netns_mounts_under_state_dir"] is True
    runtime = cri["containerd"]["runtimes"]["runc"]["options"]
    assert runtime == {"SystemdCgroup": False, "Root": str(containerd.runc_root(paths))}


def test_the_pod_network_keeps_its_addresses_below_our_directory(paths):
    network = json.loads(containerd.render_network(paths))
    bridge, portmap = network["plugins"]
    assert bridge["bridge"] == containerd.BRIDGE
    assert bridge["ipam"]["dataDir"] == str(paths.state / "cni")
    assert portmap["type"] == "portmap"


def test_the_kubelet_answers_nobody_without_identity(paths):
    config = json.loads(kubelet.render_config(paths, decisions()))
    assert config["authentication"]["anonymous"] == {"enabled": False}
    assert config["readOnlyPort"] == 0
    assert config["clusterDNS"] == [str(DNS_SERVICE)]
    assert config["cgroupRoot"] == "/farthing"
    assert config["address"] == "192.0.2.7"
    assert config["imageGCLowThresholdPercent"] < config["imageGCHighThresholdPercent"]


def test_kube_proxy_leaves_connection_tracking_alone(paths):
    config = json.loads(services.render_proxy(paths, decisions()))
    assert config["conntrack"] == {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    assert config["iptables"] == {"localhostNodePorts": False}


def test_cluster_names_are_not_cached(paths):
    corefile = services.render_corefile(paths, decisions())
    cluster, other = corefile.split("\n.:")
    assert "cache" not in cluster
    assert "ttl 1" in cluster
    assert "cache 30" in other
    assert cluster.startswith("cluster.local:20009 in-addr.arpa:20009 ip6.arpa:20009 {")


def test_dns_service_points_to_the_machine():
    service, endpoints, *_ = services.manifests(decisions())
    assert service["spec"]["clusterIP"] == str(DNS_SERVICE)
    assert endpoints["endpoints"][0]["addresses"] == ["192.0.2.7"]
    assert {port["protocol"]: port["port"] for port in endpoints["ports"]} == {"UDP": 20009, "TCP": 20009}


def test_registry_config_is_yaml():
    config = yaml.safe_load(registry.render_config("/images/registry", 5000))
    assert config["http"] == {"addr": "127.0.0.1:5000"}
    assert config["storage"]["filesystem"] == {"rootdirectory": "/images/registry"}


@pytest.mark.parametrize("make", [controlplane.api_server, controlplane.controller_manager, controlplane.scheduler])
def test_gangs_are_switched_on_all_three_or_on_none(paths, make):
    server = paths.binaries / "server"
    on = make(paths, decisions(native_gangs=True), server).argv
    off = make(paths, decisions(native_gangs=False), server).argv
    assert controlplane.GANG_GATE in on
    assert not any("GenericWorkload" in word or "scheduling.k8s.io" in word for word in off)


@pytest.mark.parametrize("profile", ["Cluster", "ControlPlane"])
def test_every_component_names_the_state_directory(paths, profile):
    server = paths.binaries / "server"
    makers = (controlplane.etcd, controlplane.api_server, controlplane.controller_manager, controlplane.scheduler)
    for make in makers:
        component = make(paths, decisions(profile), server)
        assert any(f"{paths.state}/" in word for word in component.argv), component.name


def test_only_tests_trade_durability_for_speed(paths):
    server = paths.binaries / "server"
    assert "--unsafe-no-fsync" in controlplane.etcd(paths, decisions("ControlPlane"), server).argv
    assert "--unsafe-no-fsync" not in controlplane.etcd(paths, decisions("Cluster"), server).argv


def test_a_control_plane_without_a_node_speaks_to_no_kubelet(paths):
    argv = controlplane.api_server(paths, decisions("ControlPlane"), paths.binaries / "server").argv
    assert "--endpoint-reconciler-type=none" in argv
    assert not any("kubelet" in word for word in argv)


def test_kwok_stages_cover_a_pods_whole_life():
    stages = {stage["metadata"]["name"] for stage in yaml.safe_load_all(STAGES.read_text())}
    assert stages == {"node-comes-up", "pod-starts", "pod-ends", "pod-obeys-deletion", "pod-goes"}


def test_the_rate_is_measured_by_the_method_that_is_written_down():
    ast.parse(PROGRAM)
    assert "side = 512" in PROGRAM
    assert "512x512x512" in METHOD


def test_the_audit_log_has_the_operators_requests_and_no_contents(paths):
    policy = json.loads(controlplane.render_audit_policy())
    first, rest = policy["rules"]
    assert first == {"level": "Metadata", "userGroups": [f"system:serviceaccounts:{Settings().operator_namespace}"]}
    assert rest == {"level": "None"}
    argv = controlplane.api_server(paths, decisions(), paths.binaries / "server").argv
    assert f"--audit-policy-file={controlplane.audit_policy(paths)}" in argv
    assert f"--audit-log-path={controlplane.audit_log(paths)}" in argv
