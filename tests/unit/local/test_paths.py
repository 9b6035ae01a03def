"""Where things go, also behind sudo."""

import os
import pwd
from pathlib import Path

import pytest

from farthing.errors import LocalClusterError
from farthing.local.paths import checkout, invoker, resolve


def test_defaults():
    paths = resolve(environment={"HOME": "/somewhere"})
    assert paths.state == Path("/var/lib/farthing")
    assert paths.image_store == Path("/var/lib/farthing/images")
    assert paths.binaries == Path("/somewhere/.cache/farthing/bin")


def test_the_environment_moves_each():
    environment = {"FARTHING_STATE": "/a", "FARTHING_CACHE": "/b", "FARTHING_IMAGES": "/c"}
    paths = resolve(environment=environment)
    assert (paths.state, paths.cache, paths.image_store) == (Path("/a"), Path("/b"), Path("/c"))


def test_an_argument_wins_over_the_environment():
    assert resolve(Path("/d"), {"FARTHING_STATE": "/a"}).state == Path("/d")


def test_a_state_path_too_long_for_sockets_is_refused():
    with pytest.raises(LocalClusterError, match="60 characters"):
        resolve(Path("/" + "x" * 60), {})


def test_behind_sudo_the_cache_is_the_users(monkeypatch):
    someone = pwd.getpwnam("games")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    who = invoker({"SUDO_UID": str(someone.pw_uid), "HOME": "/root"})
    assert (who.uid, who.gid, who.home) == (someone.pw_uid, someone.pw_gid, Path(someone.pw_dir))
    assert who.behind_sudo


def test_without_root_sudos_variables_mean_nothing(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("games").pw_uid)
    assert not invoker({"SUDO_UID": "0"}).behind_sudo


def test_private_keys_are_in_a_closed_folder(tmp_path):
    paths = resolve(Path("/d"), {})
    paths = type(paths)(state=tmp_path / "s", cache=paths.cache, image_store=paths.image_store)
    paths.make()
    paths.make()
    assert paths.pki.stat().st_mode & 0o777 == 0o700
    assert paths.state.stat().st_mode & 0o777 == 0o755


def test_the_checkout_has_both_dockerfiles():
    assert (checkout() / "Dockerfile").is_file()
