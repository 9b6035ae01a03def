"""Binaries are keyed by what they are made of."""

import dataclasses

import pytest

from farthing.errors import LocalClusterError
from farthing.local import builds
from farthing.local.builds import COREDNS, HELM, KWOK, PAUSE, SERVER, Module, required_version
from farthing.local.paths import Paths
from farthing.local.toolchain import parse_version

GO = "go1.26.8"


@pytest.fixture
def a_module(tmp_path, monkeypatch):
    monkeypatch.setattr(builds, "MODULES", tmp_path)
    folder = tmp_path / "tool"
    folder.mkdir()
    (folder / "go.mod").write_text("module example.test/tool\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v1.37.2\n")
    (folder / "main.go").write_text("package main\n\nfunc main() {}\n")
    return Module("tool")


def test_same_content_has_the_same_key(a_module):
    assert a_module.key(GO) == a_module.key(GO)


@pytest.mark.parametrize("file", ["go.mod", "main.go"])
def test_a_changed_file_changes_the_key(a_module, file):
    before = a_module.key(GO)
    with (a_module.folder / file).open("a") as changed:
        changed.write("// changed\n")
    assert a_module.key(GO) != before


def test_a_renamed_file_changes_the_key(a_module):
    before = a_module.key(GO)
    (a_module.folder / "main.go").rename(a_module.folder / "other.go")
    assert a_module.key(GO) != before


def test_another_go_package_or_stamp_changes_the_key(a_module):
    keys = {
        a_module.key(GO),
        a_module.key("go1.27.0"),
        dataclasses.replace(a_module, package="./cmd").key(GO),
        dataclasses.replace(a_module, stamp="k8s.io/kubernetes").key(GO),
    }
    assert len(keys) == 4


def test_a_stamped_module_reports_the_version_that_it_requires():
    version = required_version(SERVER.folder / "go.mod", "k8s.io/kubernetes")
    flags = SERVER.linker_flags()
    assert version.startswith("v1.")
    assert f"k8s.io/component-base/version.gitVersion={version}" in flags
    assert f"k8s.io/client-go/pkg/version.gitVersion={version}" in flags
    assert f"gitMinor={version.split('.')[1]} " in flags


def test_a_requirement_that_is_not_there_is_named(a_module):
    with pytest.raises(LocalClusterError, match=r"does not require k8s\.io/nothing"):
        required_version(a_module.folder / "go.mod", "k8s.io/nothing")


def test_every_module_is_pinned():
    for module in (SERVER, COREDNS, HELM, KWOK):
        assert (module.folder / "go.mod").is_file()
        assert (module.folder / "go.sum").is_file()
    assert (PAUSE.folder / "main.go").is_file()


def test_a_build_is_done_once_and_an_older_binary_goes(a_module, tmp_path):
    paths = Paths(state=tmp_path / "state", cache=tmp_path / "cache", image_store=tmp_path / "images")
    said: list[str] = []
    first = builds.build(paths, [a_module], said.append)["tool"]
    assert first.is_file()
    assert any("building tool" in line for line in said)
    again: list[str] = []
    assert builds.build(paths, [a_module], again.append)["tool"] == first
    assert again == []
    (a_module.folder / "main.go").write_text("package main\n\nfunc main() { println() }\n")
    second = builds.build(paths, [a_module], said.append)["tool"]
    assert second != first
    assert [file.name for file in paths.binaries.iterdir()] == [second.name]


def test_a_failed_build_shows_the_compilers_words_and_leaves_nothing(a_module, tmp_path):
    paths = Paths(state=tmp_path / "state", cache=tmp_path / "cache", image_store=tmp_path / "images")
    (a_module.folder / "main.go").write_text("package main\n\nfunc main() { undefinedName() }\n")
    with pytest.raises(LocalClusterError, match="undefinedName"):
        builds.build(paths, [a_module], lambda _: None)
    assert list(paths.binaries.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "want"), [("go1.26.8", (1, 26)), ("go1.27rc1", (1, 27)), ("devel go1.28-abc", None), ("", None)]
)
def test_go_versions(text, want):
    assert parse_version(text) == want
