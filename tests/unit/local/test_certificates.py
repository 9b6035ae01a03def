"""Keys and certificates by openssl: who they speak for, and that a second call keeps them."""

import base64
import json

import pytest

from farthing.local import certificates as pki
from farthing.local.kubeconfig import write_kubeconfig
from farthing.local.paths import Paths
from farthing.local.shell import run


@pytest.fixture
def paths(tmp_path):
    made = Paths(state=tmp_path / "state", cache=tmp_path / "cache", image_store=tmp_path / "images")
    made.make()
    pki.make_authority(made)
    return made


def text_of(certificate):
    return run(["openssl", "x509", "-in", certificate, "-noout", "-text"])


def test_a_client_has_its_group_and_cannot_serve(paths):
    pki.issue(paths, pki.ADMIN)
    text = text_of(pki.certificate(paths, pki.ADMIN))
    assert "O = system:masters, CN = admin" in text
    assert "TLS Web Client Authentication" in text
    assert "TLS Web Server Authentication" not in text


def test_the_api_server_has_each_of_its_names(paths):
    identity = pki.api_server_identity("192.0.2.7")
    pki.issue(paths, identity)
    text = text_of(pki.certificate(paths, identity))
    for name in ("DNS:kubernetes.default.svc.cluster.local", "DNS:localhost", "IP Address:10.96.0.1", "IP Address:192.0.2.7"):
        assert name in text


def test_it_is_signed_by_the_authority_and_no_other(paths):
    pki.make_authority(paths, "etcd-ca")
    pki.issue(paths, pki.ETCD, "etcd-ca")
    certificate = pki.certificate(paths, pki.ETCD)
    assert "OK" in run(["openssl", "verify", "-CAfile", pki.authority(paths, "etcd-ca"), certificate])
    with pytest.raises(Exception, match="unable to get local issuer certificate"):
        run(["openssl", "verify", "-CAfile", pki.authority(paths), certificate])


def test_a_second_call_keeps_everything(paths):
    pki.issue(paths, pki.ADMIN)
    before = {file.name: file.read_bytes() for file in paths.pki.iterdir()}
    pki.make_authority(paths)
    pki.issue(paths, pki.ADMIN)
    assert {file.name: file.read_bytes() for file in paths.pki.iterdir()} == before


def test_a_lost_certificate_is_made_anew_from_its_key(paths):
    pki.issue(paths, pki.ADMIN)
    key = pki.key(paths, pki.ADMIN).read_bytes()
    pki.certificate(paths, pki.ADMIN).unlink()
    pki.issue(paths, pki.ADMIN)
    assert pki.key(paths, pki.ADMIN).read_bytes() == key


def test_keys_are_private(paths):
    pki.issue(paths, pki.ADMIN)
    assert pki.key(paths, pki.ADMIN).stat().st_mode & 0o777 == 0o600


def test_a_kubeconfig_holds_everything_and_only_its_owner_reads_it(paths):
    pki.issue(paths, pki.ADMIN)
    file = write_kubeconfig(paths, pki.ADMIN, "https://192.0.2.7:6443", paths.state / "kubeconfig")
    document = json.loads(file.read_text())
    user = document["users"][0]["user"]
    assert base64.b64decode(user["client-certificate-data"]) == pki.certificate(paths, pki.ADMIN).read_bytes()
    assert document["clusters"][0]["cluster"]["server"] == "https://192.0.2.7:6443"
    assert str(paths.pki) not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
