"""What a cluster decided once stands until it is taken down."""

import json
import socket

import pytest

from farthing.errors import LocalClusterError
from farthing.local import network, state
from farthing.local.network import PORTS, free_ports, host_address, port_is_free
from farthing.local.paths import Paths
from farthing.local.state import PORT_NAMES, decide, load


@pytest.fixture
def paths(tmp_path):
    made = Paths(state=tmp_path / "state", cache=tmp_path / "cache", image_store=tmp_path / "images")
    made.make()
    return made


def test_decided_once(paths):
    first = decide(paths, "ControlPlane", native_gangs=True)
    assert decide(paths, "ControlPlane", native_gangs=True) == first
    assert load(paths) == first
    assert first.host == "127.0.0.1"
    assert sorted(first.ports) == sorted(PORT_NAMES)
    assert len(set(first.ports.values())) == len(PORT_NAMES)


def test_no_cluster_no_decisions(paths):
    assert load(paths) is None


def test_another_rung_needs_down_first(paths):
    decide(paths, "ControlPlane", native_gangs=True)
    with pytest.raises(LocalClusterError, match="made with native gangs True, not False: run `farthing down`"):
        decide(paths, "ControlPlane", native_gangs=False)


def test_a_changed_address_needs_down_first(paths, monkeypatch):
    monkeypatch.setattr(state, "host_address", lambda: "192.0.2.7")
    decide(paths, "Cluster", native_gangs=True)
    monkeypatch.setattr(state, "host_address", lambda: "192.0.2.8")
    with pytest.raises(LocalClusterError, match=r"address 192\.0\.2\.7, not 192\.0\.2\.8"):
        decide(paths, "Cluster", native_gangs=True)


def test_cluster_json_is_readable(paths):
    decide(paths, "ControlPlane", native_gangs=True)
    written = json.loads((paths.state / "cluster.json").read_text())
    assert written["profile"] == "ControlPlane"
    assert written["ports"]["etcd"] in PORTS


def test_a_port_in_use_is_not_free():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert not port_is_free(listener.getsockname()[1])


def test_ports_in_use_are_passed_over():
    free = set(list(PORTS)[:3])
    assert set(free_ports(["a", "b", "c"], free.__contains__).values()) == free


def test_ports_that_the_kernel_hands_out_come_last(tmp_path, monkeypatch):
    file = tmp_path / "ip_local_port_range"
    file.write_text(f"{PORTS[3]}\t65535\n")
    monkeypatch.setattr(network, "HANDED_OUT", file)
    assert set(free_ports(["a", "b", "c"], lambda port: True).values()) == set(PORTS[:3])
    assert set(free_ports(["a", "b"], {PORTS[0], PORTS[9]}.__contains__).values()) == {PORTS[0], PORTS[9]}


@pytest.mark.parametrize("first", [1024, 1025])
def test_where_all_are_handed_out_none_is_given_to_connections(first, tmp_path, monkeypatch):
    file = tmp_path / "ip_local_port_range"
    file.write_text(f"{first}\t65535\n")
    monkeypatch.setattr(network, "HANDED_OUT", file)
    assert {port % 2 for port in free_ports(map(str, range(100)), lambda port: True).values()} == {1 - first % 2}


def test_too_few_ports_is_an_error():
    with pytest.raises(LocalClusterError, match="only 1 of 2 ports"):
        free_ports(["a", "b"], lambda port: port == PORTS[0])


def test_the_machine_has_an_address_that_is_not_loopback():
    assert not host_address().startswith("127.")
