"""Helm itself, from the cache of the local cluster's binaries."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from tests.support.manifests import CHART

from farthing.local.builds import HELM, build
from farthing.local.paths import resolve
from farthing.local.shell import run

Helm = Callable[..., str]
Render = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Runs helm with caches of its own; raises LocalClusterError with its words when it fails."""
    binary = build(resolve(), [HELM], print)["helm"]
    home = tmp_path_factory.mktemp("helm")
    environment = {f"HELM_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    return lambda *arguments: run([binary, *arguments], environment=environment)


@pytest.fixture(scope="session")
def render(helm: Helm) -> Render:
    """The chart's objects under these values, given by dotted path: render(**{"crds.keep": False})."""

    def rendered(**values: Any) -> list[dict[str, Any]]:
        options = [f"--set-json={path}={json.dumps(value)}" for path, value in values.items()]
        text = helm("template", "farthing", str(CHART), "--namespace", "farthing-system", "--kube-version", "1.34.0", *options)
        return [document for document in yaml.safe_load_all(text) if document]

    return rendered
