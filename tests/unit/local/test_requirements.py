"""What is missing is named before anything is changed."""

import pytest

from farthing.errors import LocalClusterError
from farthing.local import requirements
from farthing.local.paths import Paths
from farthing.local.requirements import GIB, NODE_PACKAGES, install, missing, require_disk


def a_machine(tmp_path):
    return Paths(state=tmp_path / "state", cache=tmp_path / "cache", image_store=tmp_path / "images")


def test_only_what_is_not_found_is_missing():
    have = {package.proof for package in NODE_PACKAGES} - {"runc", "/usr/lib/cni/bridge"}
    assert missing(NODE_PACKAGES, have.__contains__) == ["runc", "containernetworking-plugins"]


def test_nothing_missing_installs_nothing():
    said: list[str] = []
    install([], said.append)
    assert said == []


def test_without_root_the_error_says_what_to_type(monkeypatch):
    monkeypatch.setattr(requirements.os, "geteuid", lambda: 1000)
    said: list[str] = []
    with pytest.raises(LocalClusterError, match="apt-get install --no-install-recommends runc buildah"):
        install(["runc", "buildah"], said.append)
    assert said == ["missing: runc, buildah"]


def test_a_node_needs_root(monkeypatch):
    monkeypatch.setattr(requirements.os, "geteuid", lambda: 1000)
    with pytest.raises(LocalClusterError, match="sudo farthing up"):
        requirements.require_root()


def test_every_place_with_too_little_disk_is_named(tmp_path):
    with pytest.raises(LocalClusterError) as raised:
        require_disk(a_machine(tmp_path), images=True, free=lambda _: GIB)
    assert f"{tmp_path}/state: 1.0 GiB free, 2 GiB needed" in str(raised.value)
    assert f"{tmp_path}/images: 1.0 GiB free, 25 GiB needed" in str(raised.value)


def test_a_filled_image_store_needs_no_room_for_itself(tmp_path):
    paths = a_machine(tmp_path)
    paths.builder.mkdir(parents=True)
    require_disk(paths, images=True, free=lambda _: 3 * GIB)


def test_a_control_plane_needs_no_room_for_images(tmp_path):
    require_disk(a_machine(tmp_path), images=False, free=lambda _: 3 * GIB)


def test_administrators_programs_are_found_by_a_plain_users_shell(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    requirements.extend_path()
    requirements.extend_path()
    assert requirements.os.environ["PATH"] == "/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
