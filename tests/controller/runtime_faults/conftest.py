"""One operator for all faults, with the chart's own rights; a namespace of its own for each of them."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.controller.conftest import OPERATOR_NAMESPACE
from tests.support.bench import Bench
from tests.support.operating import SETTINGS, Operator, chart_kubeconfig

from farthing.kube.client import Client
from farthing.local.cluster import LocalCluster

FORBIDDEN = re.compile(r"\bcannot (get|list|watch|create|update|patch|delete) resource\b")
"""RBAC's words."""


@pytest.fixture(scope="module")
def running(furnished: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """What was refused is tried again after two seconds."""
    folder: Path = tmp_path_factory.mktemp("operator")
    settings = {**SETTINGS, "cycle": {**SETTINGS["cycle"], "refusedRetry": 2}}
    started = Operator(chart_kubeconfig(furnished, OPERATOR_NAMESPACE, folder), folder, "operator-faults", settings)
    try:
        started.wait_ready()
        yield started
        assert FORBIDDEN.search(started.log.read_text()) is None, "RBAC refused something"
    finally:
        started.end()


@pytest.fixture
async def bench(running: Operator, client: Client, namespace: str) -> AsyncIterator[Bench]:
    """A namespace with nothing in it. The job is given up at the end, and the operator has to have lived through all of it."""
    made = Bench(client, namespace)
    yield made
    await made.give_up()
    assert running.process.poll() is None, running.log.read_text()[-4000:]
