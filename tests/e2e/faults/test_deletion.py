"""Jobs deleted while the operator is scaled to zero, on an account: pods stop or run to their own ends, their evidence stays,
and when the operator is back every bill is settled and nothing is left. What was spent stays spent: a second life gets only
the rest."""

from fractions import Fraction

import pytest
from tests.e2e.faults.test_alone import operator_away
from tests.support.accounts import AccountHistory, held, spent
from tests.support.bills import audit

from farthing.cli.demo.scenario import leftovers
from farthing.contract.names import FINALIZER_LEDGER
from farthing.kube.resources import ACCOUNTS, RECORDS, TRAINING_JOBS

pytestmark = pytest.mark.e2e

LIMIT = "0.05"
MONEY = "0.02"
"""144 s of one accelerator for each job: more than the account could give a third time."""
ACCOUNT = {
    "apiVersion": "farthing.dev/v1alpha1",
    "kind": "TrainingBudget",
    "metadata": {"name": "purse"},
    "spec": {"limits": {"cost": LIMIT}, "currency": "USD"},
}
ON_ACCOUNT = {"limits": {"cost": MONEY}, "currency": "USD", "accountRef": {"name": "purse"}}
REBORN, ORPHANED = "reborn", "orphaned"


@pytest.fixture(scope="module")
def account(scene):
    """The account, with every version of it."""
    with AccountHistory(scene.cluster.kubeconfig, scene.api.namespace, "purse") as history:
        scene.apply(ACCOUNT)
        yield history
    scene.api.delete(ACCOUNTS, "purse")


@pytest.fixture(scope="module")
def deleted(scene, account):
    """Both jobs deleted with no operator there: one in the foreground, of the other job and batch Job without what they own.

    Returns what stood before the operator came back.
    """
    for name in (REBORN, ORPHANED):
        scene.submit(name, MONEY, budget=ON_ACCOUNT)
    scene.until_it_trains(REBORN, ORPHANED)
    pods = {name: scene.pods(name) for name in (REBORN, ORPHANED)}
    with operator_away(scene):
        kubectl(scene, "delete", "btj", REBORN, "--cascade=foreground", "--wait=false")
        kubectl(scene, "delete", "btj", ORPHANED, "--cascade=orphan")
        kubectl(scene, "delete", "job", batch_job(pods[ORPHANED]), "--cascade=orphan")
        scene.until(lambda: ended(scene, REBORN), "the pod of the deleted job to end")
        left = {name: scene.pods(name) for name in pods}
        books = scene.api.find(ACCOUNTS, "purse")
    scene.until(lambda: not leftovers(scene.api), "nothing to be left")
    return left, books


def ended(scene, name):
    return all(pod["status"]["phase"] in ("Succeeded", "Failed") for pod in scene.pods(name))


def kubectl(scene, *words):
    return scene.cluster.kubectl("-n", scene.api.namespace, *words)


def batch_job(pods):
    """The name of the Job that owns the pods."""
    return pods[0]["metadata"]["ownerReferences"][0]["name"]


def bills_of(scene, name):
    """The spend records of every life of a job, oldest first."""
    own = [each for each in scene.api.every(RECORDS, scene.api.namespace) if each["spec"]["job"]["name"] == name]
    return sorted(own, key=lambda record: record["spec"]["openedAt"])


def test_pods_end_with_their_job_and_orphans_run_on_and_evidence_stays(deleted):
    left, books = deleted
    [reborn], [orphaned] = left[REBORN], left[ORPHANED]

    assert reborn["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143, "it saved and left"
    assert orphaned["status"]["phase"] == "Running"
    assert not orphaned["metadata"].get("ownerReferences")
    assert all(FINALIZER_LEDGER in pod["metadata"]["finalizers"] for pod in (reborn, orphaned))
    assert held(books, "cost") > 0, "nothing is given back before the bill is settled"


@pytest.mark.parametrize("name", [REBORN, ORPHANED])
def test_every_bill_is_settled_when_the_operator_is_back(scene, deleted, name):
    records = bills_of(scene, name)

    bills = audit(scene.evidence, records, {"cost": MONEY})
    assert records[-1]["status"]["outcome"] == "Deleted"
    assert bills[records[-1]["spec"]["attempt"]].seconds > 1


def test_a_second_life_gets_only_what_the_first_one_left(scene, account, deleted):
    scene.until(lambda: scene.api.find(TRAINING_JOBS, REBORN) is None, "the first life to be over")
    before = Fraction(LIMIT) - spent(scene.api.find(ACCOUNTS, "purse"), "cost")
    greedy = {**ON_ACCOUNT, "limits": {"cost": LIMIT}}
    scene.submit(REBORN, LIMIT, budget=greedy)
    scene.until_it_trains(REBORN)
    [first] = [record for record in scene.records(REBORN) if record["spec"]["stage"] == "Train"]

    assert Fraction(first["spec"]["held"]["cost"]) <= before < Fraction(LIMIT)
    scene.api.delete(TRAINING_JOBS, REBORN)
    scene.until(lambda: not leftovers(scene.api), "nothing to be left")
    told = account.check()
    everything = [record for name in (REBORN, ORPHANED) for record in bills_of(scene, name)]
    assert told[-1] == sum(Fraction(record["status"]["charged"]["cost"]) for record in everything) < Fraction(LIMIT)
