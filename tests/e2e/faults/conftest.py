"""Scenes of faults: each test module has one, on the cluster of the main job."""

import pytest
from tests.support.evidence import Evidence
from tests.support.scene import Scene


@pytest.fixture(scope="module")
def scene(cluster, api, setting):
    """The demo's namespace after the main job, watched; its jobs are deleted at the end."""
    with Evidence(cluster.kubeconfig, api.namespace) as evidence:
        scene = Scene(cluster, api, setting, evidence)
        yield scene
        scene.clear()
