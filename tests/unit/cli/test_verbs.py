"""The parts of the verbs that need no cluster."""

import io
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from farthing.api.crd import render_templates
from farthing.api.docs import api_markdown
from farthing.cli import steps as steps_module
from farthing.cli.cluster import default_namespace
from farthing.cli.exits import Failed
from farthing.cli.logs import choose
from farthing.cli.main import app
from farthing.cli.manifests import read_manifests, resource_for
from farthing.cli.output import Format, emit
from farthing.cli.release import TRIES, let_go
from farthing.cli.where import Where
from farthing.contract.names import FINALIZER_LEDGER, LABEL_ATTEMPT
from farthing.errors import Conflict, InvalidSpec


def crds(*arguments):
    return CliRunner().invoke(app, ["crds", *map(str, arguments)])


def test_crds_are_printed_as_one_stream():
    assert crds().stdout.count("kind: CustomResourceDefinition") == len(render_templates()) == 4


def test_written_crds_are_fresh_and_changed_ones_are_not(tmp_path):
    folder, docs = tmp_path / "crds", tmp_path / "api.md"
    assert crds("--write", folder).exit_code == 0
    docs.write_text(crds("--docs").stdout)
    assert crds("--check", folder, "--check-docs", docs).exit_code == 0

    docs.write_text("old")
    (folder / "gpunodepools.yaml").unlink()
    failure = crds("--check", folder, "--check-docs", docs).exception
    assert isinstance(failure, Failed)
    assert "gpunodepools.yaml" in str(failure)
    assert "api.md" in str(failure)
    assert "make crds docs" in str(failure)


def test_the_reference_is_the_models_own():
    assert crds("--docs").stdout == api_markdown()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "needs apiVersion, kind and metadata"),
        ("kind: X", "needs apiVersion, kind and metadata"),
        ("a: [", "write YAML"),
        (
            "apiVersion: farthing.dev/v1alpha1\nkind: GPUNodePool\nmetadata: {name: x}\nspec: {acelerator: y}",
            "spec.accelerator",
        ),
    ],
)
def test_what_is_no_manifest_is_named(tmp_path, text, message):
    file = tmp_path / "m.yaml"
    file.write_text(text)

    with pytest.raises(InvalidSpec, match=message):
        read_manifests(file)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidSpec, match="cannot be read"):
        read_manifests(tmp_path / "absent.yaml")


def test_several_documents_come_from_stdin(monkeypatch):
    text = yaml.safe_dump_all([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in "ab"])
    monkeypatch.setattr("sys.stdin", io.StringIO(f"---\n{text}---\n"))

    from_stdin = read_manifests(Path("-"))
    assert [manifest["metadata"]["name"] for manifest in from_stdin] == ["a", "b"]


def test_foreign_kinds_are_left_to_kubectl():
    with pytest.raises(InvalidSpec, match="kubectl"):
        resource_for({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}})


def pod(attempt, index, name=None):
    labels = {LABEL_ATTEMPT: attempt, "batch.kubernetes.io/job-completion-index": str(index)}
    return {"metadata": {"name": name or f"{attempt}-{index}", "labels": labels}}


PODS = [pod("lm-abcde-1", 0), pod("lm-abcde-10", 0), pod("lm-abcde-10", 1), pod("lm-abcde-2", 0)]


@pytest.mark.parametrize(
    ("attempt", "worker", "want"),
    [
        (None, 0, "lm-abcde-10-0"),
        (None, 1, "lm-abcde-10-1"),
        ("2", 0, "lm-abcde-2-0"),
        ("lm-abcde-1", 0, "lm-abcde-1-0"),
        ("3", 0, None),
        (None, 7, None),
    ],
)
def test_which_pod_logs_are_read(attempt, worker, want):
    assert choose(PODS, attempt, worker) == want


class Server:
    """A cluster in which somebody else writes the pod first, `races` times."""

    def __init__(self, races, finalizers):
        self.races = races
        self.version = 1
        self.finalizers = finalizers

    def find(self, resource, name, namespace):
        metadata = {"name": name, "namespace": namespace, "resourceVersion": str(self.version), "finalizers": self.finalizers}
        return {"metadata": metadata}

    def patch(self, resource, item, change):
        if self.races:
            self.races -= 1
            self.version += 1
            raise Conflict("changed meanwhile")
        assert change["metadata"]["resourceVersion"] == str(self.version)
        self.finalizers = change["metadata"]["finalizers"]


@pytest.mark.parametrize("races", [0, 1, TRIES - 1])
def test_a_pod_is_let_go_whoever_writes_it_meanwhile(races):
    server = Server(races, ["other.dev/x", FINALIZER_LEDGER])

    let_go(server, server.find(None, "p", "n"))

    assert server.finalizers == ["other.dev/x"]


def test_letting_go_gives_up_in_the_end():
    server = Server(TRIES, [FINALIZER_LEDGER])

    with pytest.raises(Conflict):
        let_go(server, server.find(None, "p", "n"))


def test_release_wants_to_know_what():
    assert CliRunner().invoke(app, ["release"]).exit_code == 2
    assert CliRunner().invoke(app, ["release", "job", "--all"]).exit_code == 2
    assert CliRunner().invoke(app, ["release", "job", "--drain", "30"]).exit_code == 2


KUBECONFIG = {
    "current-context": "one",
    "contexts": [
        {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
        {"name": "two", "context": {"cluster": "c", "user": "u"}},
    ],
}


@pytest.mark.parametrize(("context", "want"), [(None, "team"), ("one", "team"), ("two", "default"), ("absent", "default")])
def test_the_namespace_is_the_contexts(tmp_path, context, want):
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(KUBECONFIG))

    assert default_namespace(Where(context, file)) == want


def test_without_a_kubeconfig_it_is_default(tmp_path):
    assert default_namespace(Where(kubeconfig=tmp_path / "absent")) == "default"


@pytest.mark.parametrize(
    ("form", "want"), [(Format.JSON, '{\n  "a": "é"\n}\n'), (Format.YAML, "a: é\n"), (Format.TABLE, "drawn\n")]
)
def test_data_in_every_form(capsys, form, want):
    emit({"a": "é"}, form, lambda: "drawn")

    assert capsys.readouterr().out == want


def said(monkeypatch, *sentences, error=None):
    lines = []
    monkeypatch.setattr(steps_module.words, "print", lambda text, **_: lines.append(text))
    try:
        with steps_module.Steps() as progress:
            for sentence in sentences:
                progress(sentence)
            if error:
                raise error
    except RuntimeError:
        lines.append("raised")
    return lines


def test_steps_say_when_they_begin_and_end(monkeypatch):
    assert said(monkeypatch, "one", "two") == ["· one", "✓ one (0s)", "· two", "✓ two (0s)"]


def test_a_step_that_goes_on_is_told_once(monkeypatch):
    assert said(monkeypatch, "build: 1", "build: 2") == ["· build: 1", "✓ build: 2 (0s)"]


def test_a_step_that_fails_is_marked(monkeypatch):
    assert said(monkeypatch, "one", error=RuntimeError()) == ["· one", "✗ one (0s)", "raised"]
