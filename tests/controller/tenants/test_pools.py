"""Pools are for the namespaces that their administrator chose, whatever a job says of itself."""

import pytest
from tests.controller.tenants.conftest import NEIGHBOUR, TEAM, People, a_job
from tests.support.manifests import POOL, Manifest, changed, nested
from tests.support.operating import Operator

from farthing.local.cluster import LocalCluster
from farthing.local.shell import wait_until

pytestmark = pytest.mark.controller

RESERVED = changed(
    POOL,
    {
        "metadata.name": "reserved",
        "metadata.labels": {"tier": "reserved"},
        "spec.acceleratorsPerNode": 4,
        "spec.minNodes": 2,
        "spec.maxNodes": 2,
        "spec.nodeSelector": {"pool": "slots"},
        "spec.rate": {"flopsPerSecond": "5e10", "source": "written by hand"},
        "spec.namespaceSelector": {"matchLabels": {"team": "chosen"}},
    },
)
CHOSEN = {"matchLabels": {"tier": "reserved"}}


@pytest.fixture
def reserved(charted: LocalCluster):
    """The same nodes, for one team alone."""
    charted.apply(RESERVED)
    yield RESERVED
    charted.kubectl("delete", "gpunodepool", "reserved")


def stalled(made: LocalCluster, name: str) -> str:
    """The reason and message of its Stalled condition, while that is true."""
    conditions = made.get("budgetedtrainingjob", name, "-n", TEAM).get("status", {}).get("conditions", [])
    told = (
        f"{each['reason']}: {each['message']}" for each in conditions if (each["type"], each["status"]) == ("Stalled", "True")
    )
    return next(told, "")


def records_of(made: LocalCluster, name: str) -> list[Manifest]:
    return [item for item in made.get("spendrecords", "-n", TEAM)["items"] if item["spec"]["job"]["name"] == name]


def test_a_pool_of_others_is_used_by_no_way_of_asking(
    charted: LocalCluster, people: People, running: Operator, reserved: Manifest
) -> None:
    """Not by selecting it, nor by labels on one's own objects; once the administrator chooses the namespace, it starts."""
    asked = a_job(
        "envious",
        **{
            "metadata.labels": {"team": "chosen"},
            "spec.compute": {"accelerators": {"min": 2, "max": 2}, "poolSelector": CHOSEN},
            "spec.template": {"metadata": {"labels": {"team": "chosen"}}},
        },
    )
    assert people.tenant.create(asked, dry=False).done
    wait_until(lambda: stalled(charted, "envious") != "", "the job to be told", seconds=60)
    assert stalled(charted, "envious").startswith("NoPool")
    assert records_of(charted, "envious") == []

    charted.kubectl("label", "namespace", TEAM, "team=chosen")
    wait_until(lambda: records_of(charted, "envious") != [], "the job to start", seconds=60)
    assert [record["spec"]["pool"] for record in records_of(charted, "envious")] == ["reserved"]
    charted.kubectl("label", "namespace", TEAM, "team-")
    assert people.tenant.delete(asked, dry=False).done
    settled = lambda: all(each.get("status", {}).get("phase") == "Settled" for each in records_of(charted, "envious"))  # noqa: E731
    wait_until(settled, "its bill to be settled", seconds=60)


@pytest.mark.parametrize("namespace", [TEAM, NEIGHBOUR])
def test_nobody_labels_a_namespace_for_himself(people: People, namespace: str) -> None:
    for person in (people.tenant, people.owner, people.treasurer):
        answer = person.ask("PATCH", f"/api/v1/namespaces/{namespace}", nested("metadata.labels.team", "chosen"))
        assert answer.code == 403
