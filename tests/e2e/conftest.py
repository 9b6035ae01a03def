"""The tier's one cluster with everything on it: images, operator, and the main job played once."""

import pytest
import yaml

from farthing.cli.cluster import Cluster
from farthing.cli.demo.command import play
from farthing.cli.demo.scenario import build_images
from farthing.cli.demo.setting import NAMESPACE, Setting
from farthing.cli.demo.stopwatch import Stopwatch
from farthing.cli.demo.watching import Witness
from farthing.cli.where import Where
from farthing.kube.resources import TRAINING_JOBS
from farthing.local.paths import checkout

PATIENCE = 900.0
"""Seconds that any one thing may take on a machine that does ten others."""


def pytest_collection_modifyitems(items):
    """The tests that kill parts of the cluster come last, those that take it away after them: until then its operator and its
    images are left in peace."""
    last = ("test_local_cluster.py", "test_leftovers.py")
    items.sort(key=lambda item: last.index(item.path.name) if item.path.name in last else -1)


@pytest.fixture(scope="session")
def setting(tmp_path_factory):
    return Setting(root=checkout(), out=tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def images(cluster):
    return build_images(cluster, Stopwatch())


@pytest.fixture(scope="session")
def main_job(cluster, images, setting):
    """The result of the main job. Its operator, namespace, pool and volumes stay for the tests after it."""
    return play(cluster, images, setting, Stopwatch())


@pytest.fixture(scope="session")
def api(cluster, main_job):
    """A way to the cluster, in the demo's namespace, with the operator running."""
    with Cluster(Where(kubeconfig=cluster.kubeconfig, namespace=NAMESPACE)) as connection:
        yield connection


@pytest.fixture
def witness(api):
    return Witness(api)


@pytest.fixture
def submit(api, setting):
    """Apply an example, changed by a function of its manifest; every job of a test is deleted at its end."""
    submitted = []

    def apply(example, change=lambda manifest: None):
        manifest = yaml.safe_load((setting.examples / f"{example}.yaml").read_text())
        manifest["metadata"]["namespace"] = api.namespace
        change(manifest)
        api.apply(TRAINING_JOBS, manifest)
        submitted.append(manifest["metadata"]["name"])
        return submitted[-1]

    yield apply
    for name in submitted:
        api.delete(TRAINING_JOBS, name)
