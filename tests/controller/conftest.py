"""The controller tier: real API server, controller-manager and scheduler; pods are played by kwok."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from tests.support.manifests import POOL, changed

from farthing.api.crd import crds
from farthing.kube.client import Client
from farthing.local.cluster import LocalCluster
from farthing.local.kwok import fake_gpu_nodes

SLOT = "farthing.dev/cpu-slot"
OPERATOR_NAMESPACE = "farthing-system"


def furnish(made: LocalCluster) -> LocalCluster:
    """Our resource definitions, the operator's namespace, and two pretended nodes of four slots each."""
    made.apply(*crds())
    made.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=60s")
    made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATOR_NAMESPACE}})
    fake_gpu_nodes(made, 2, 4, SLOT, {"pool": "slots"})
    rate = {"flopsPerSecond": "5e10", "source": "written by hand"}
    fields = {"acceleratorsPerNode": 4, "minNodes": 2, "maxNodes": 2, "nodeSelector": {"pool": "slots"}, "rate": rate}
    made.apply(changed(POOL, {f"spec.{name}": value for name, value in fields.items()}))
    return made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The admission tests come last: they leave jobs and bills that no operator made, and the operator's tests count writes."""
    items.sort(key=lambda item: "admission" in item.path.parts)


@pytest.fixture(scope="session")
def furnished(control_plane: LocalCluster) -> LocalCluster:
    """A cluster with native gangs."""
    return furnish(control_plane)


@pytest.fixture(scope="session")
def furnished_without_gangs(control_plane_without_gangs: LocalCluster) -> LocalCluster:
    """A cluster where a gang is a Job created suspended."""
    return furnish(control_plane_without_gangs)


@pytest.fixture
async def client(furnished: LocalCluster) -> AsyncIterator[Client]:
    """A client of the cluster with native gangs."""
    async with await Client.connect(furnished.kubeconfig) as connected:
        yield connected


_numbers = iter(range(1, 10_000))


@pytest.fixture
def namespace(furnished: LocalCluster) -> Iterator[str]:
    """A namespace of the test's own."""
    with new_namespace(furnished) as name:
        yield name


@contextmanager
def new_namespace(made: LocalCluster) -> Iterator[str]:
    """A namespace that goes with its user."""
    name = f"team-{next(_numbers)}"
    made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    made.kubectl("delete", "namespace", name, "--wait=false")
