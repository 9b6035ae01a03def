"""A cluster with the chart's roles and policies, the operator with no rights but the chart's, and people with identities of
their own: real tokens, and a certificate."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.controller.conftest import furnish
from tests.support.admission import role
from tests.support.manifests import ACCOUNT, JOB, Manifest, changed
from tests.support.operating import SETTINGS, Operator, chart_kubeconfig
from tests.support.tenants import SYSTEM, Person, bound, by_certificate, by_token, install_chart, service_account

from farthing.contract.names import LABEL_ATTEMPT
from farthing.kube import resources as of
from farthing.local.cluster import LocalCluster
from farthing.local.shell import wait_until

TEAM, NEIGHBOUR, PAYING = "tenants-team", "tenants-neighbour", "tenants-paying"
KINDS = (of.JOBS, of.PODS, of.CONFIG_MAPS, of.SECRETS, of.SERVICES, of.NETWORK_POLICIES, of.POD_GROUPS)
"""Of an attempt's children."""


@dataclass(frozen=True)
class People:
    """`tenant` edits TEAM, `neighbour` another namespace; `owner` administers TEAM; `author` has the chart's editor role there
    and nothing else; `steward` may change accounts without the verb `raise`, `treasurer` has it."""

    tenant: Person
    neighbour: Person
    owner: Person
    author: Person
    steward: Person
    treasurer: Person


@pytest.fixture(scope="session")
def furnished(control_plane_of_tenants: LocalCluster) -> LocalCluster:
    """A cluster of these tests' own, in place of the tier's: their operator works from the first of them to the last."""
    return furnish(control_plane_of_tenants)


@pytest.fixture(scope="package")
def charted(furnished: LocalCluster) -> Iterator[LocalCluster]:
    """The chart's roles and policies in force, and three namespaces; one where every job needs an account."""
    installed = install_chart(furnished)
    labels = {PAYING: {"farthing.dev/account": "Required"}}
    for name in (TEAM, NEIGHBOUR, PAYING):
        metadata = {"name": name, "labels": labels.get(name, {})}
        furnished.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    yield furnished
    furnished.kubectl("delete", "namespace", TEAM, NEIGHBOUR, PAYING, "--wait=false")
    furnished.kubectl("delete", "-f", "-", "--ignore-not-found", text=installed)


@pytest.fixture(scope="package")
def people(charted: LocalCluster) -> People:
    """Waits until everyone's rights are there: aggregation and binding are seen a moment after they are made."""
    names = ("tenant", "owner", "author", "steward")
    charted.apply(
        role("account-steward", "farthing.dev", ["trainingbudgets"], ["get", "create", "update", "patch"]),
        *(service_account(name, TEAM) for name in names),
        service_account("neighbour", NEIGHBOUR),
        bound("edit", "tenant", TEAM),
        bound("admin", "owner", TEAM),
        bound("farthing-editor", "author", TEAM),
        bound("account-steward", "steward", TEAM),
        bound("edit", "neighbour", NEIGHBOUR),
        bound("edit", "treasurer", TEAM, user=True),
        bound("farthing-budget-admin", "treasurer", TEAM, user=True),
        bound("edit", "treasurer", PAYING, user=True),
        bound("farthing-budget-admin", "treasurer", PAYING, user=True),
        {**bound("edit", "tenant", TEAM), "metadata": {"name": "guest", "namespace": PAYING}},
    )
    tenant, owner, author, steward = (by_token(charted, TEAM, name) for name in names)
    neighbour, treasurer = by_token(charted, NEIGHBOUR, "neighbour"), by_certificate(charted, "treasurer", "finance")
    for person, namespace in ((tenant, TEAM), (owner, TEAM), (neighbour, NEIGHBOUR), (tenant, PAYING)):
        wait_until(lambda p=person, n=namespace: _may_edit(p, n), f"{person.name} to hold the chart's roles", seconds=60)
    wait_until(lambda: treasurer.may("raise", "farthing.dev", "trainingbudgets", PAYING), "the treasurer's right", seconds=60)
    wait_until(lambda: _in_force(tenant), "the policies to be in force", seconds=60)
    return People(tenant, neighbour, owner, author, steward, treasurer)


def _may_edit(person: Person, namespace: str) -> bool:
    return person.may("create", "farthing.dev", "budgetedtrainingjobs", namespace)


def _in_force(tenant: Person) -> bool:
    late = a_job("probe", **{"spec.budget.deadline": "2001-01-01T00:00:00Z"})
    forged = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "probe", "namespace": TEAM}}
    forged["metadata"]["labels"] = {LABEL_ATTEMPT: "probe"}
    forged["spec"] = {"ports": [{"port": 1}]}
    return all("denied request" in tenant.create(each).message for each in (late, forged))


def a_job(name: str = "tiny", namespace: str = TEAM, **changes: object) -> Manifest:
    """A job of two accelerators, small enough to be planned anywhere."""
    fields = {
        "metadata.name": name,
        "metadata.namespace": namespace,
        "spec.data.tokenizer": {"vocabularySize": 1024},
        "spec.data.sequenceLength": 256,
        "spec.training": {"globalBatchSize": 8},
        "spec.compute.accelerators": {"min": 2, "max": 2},
        "spec.checkpoint.storage": {"uri": "memory://checkpoints"},
    }
    return changed(JOB, fields | changes)


def an_account(name: str = "team-a", namespace: str = TEAM, **changes: object) -> Manifest:
    """An account of 100 USD and 1e9 tokens."""
    return changed(ACCOUNT, {"metadata.name": name, "metadata.namespace": namespace, **changes})


@pytest.fixture(scope="package")
def running(charted: LocalCluster, people: People, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """The operator, as the chart's ServiceAccount, through all of these tests."""
    folder = tmp_path_factory.mktemp("operator")
    settings = {**SETTINGS, "worker": {}}
    operator = Operator(chart_kubeconfig(charted, SYSTEM, folder), folder, "operator-charted", settings)
    try:
        operator.wait_ready()
        yield operator
    finally:
        operator.end()


@dataclass(frozen=True)
class Attempt:
    """A running attempt of the tenant's."""

    name: str
    children: dict[str, Manifest]
    """By kind; the pod is the one of index 0."""
    record: Manifest


@pytest.fixture(scope="package")
def attempt(charted: LocalCluster, people: People, running: Operator) -> Attempt:
    """A job of the tenant's that was really started, with everything that the operator made for it."""
    answer = people.tenant.create(a_job("standing"), dry=False)
    assert answer.done, answer.message

    def begun() -> bool:
        job = charted.get("budgetedtrainingjob", "standing", "-n", TEAM)
        return bool(job.get("status", {}).get("state") == "Preparing" and children_of(charted))

    wait_until(begun, "the tenant's job to run", seconds=120)
    (record,) = charted.get("spendrecords", "-n", TEAM)["items"]
    return Attempt(record["metadata"]["name"], children_of(charted), record)


def children_of(made: LocalCluster) -> dict[str, Manifest]:
    """The children that stand, once all kinds of them do; else nothing."""
    plurals = ",".join(resource.plural for resource in KINDS)
    items = made.get(plurals, "-n", TEAM, "-l", f"{LABEL_ATTEMPT},farthing.dev/job=standing")["items"]
    found = {item["kind"]: item for item in reversed(items)}
    return found if set(found) == {resource.kind for resource in KINDS} else {}
