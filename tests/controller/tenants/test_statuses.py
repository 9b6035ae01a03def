"""Books are written by the operator alone: no status of any kind, and nothing at all of a spend record."""

import pytest
from tests.controller.tenants.conftest import TEAM, Attempt, People, a_job, an_account
from tests.support.manifests import POOL, RECORD, Manifest, changed

pytestmark = pytest.mark.controller

OBJECTS = {
    "BudgetedTrainingJob": a_job("standing"),
    "TrainingBudget": an_account(),
    "SpendRecord": changed(RECORD, {"metadata.namespace": TEAM}),
    "GPUNodePool": POOL,
}
STATUSES = {
    "BudgetedTrainingJob": {"spent": {"cost": "0"}, "holds": []},
    "TrainingBudget": {"spent": {"cost": "0"}, "holds": []},
    "SpendRecord": {"phase": "Settled", "charged": {"cost": "0"}},
    "GPUNodePool": {"free": 8},
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_no_status(people: People, attempt: Attempt, kind: str) -> None:
    manifest, status = OBJECTS[kind], {"status": STATUSES[kind]}
    for person in (people.tenant, people.owner, people.treasurer, people.author):
        assert person.patch(manifest, status, "status").code == 403
        assert person.replace({**manifest, **status}, "status").code == 403


def test_a_status_in_a_spec_write_is_left_out(people: People, attempt: Attempt) -> None:
    answer = people.tenant.patch(OBJECTS["BudgetedTrainingJob"], {"status": {"spent": {"cost": "0"}, "state": "Complete"}})
    assert answer.done
    assert answer.body["status"]["state"] != "Complete"
    made = people.tenant.create({**a_job("rich"), "status": {"spent": {"cost": "0"}}})
    assert "status" not in made.body


def test_nothing_of_a_spend_record(people: People, attempt: Attempt) -> None:
    forged = changed(RECORD, {"metadata.namespace": TEAM, "metadata.name": "forged-0a1b2-1"})
    collection = f"/apis/farthing.dev/v1alpha1/namespaces/{TEAM}/spendrecords"
    for person in (people.tenant, people.owner, people.treasurer):
        answers = [
            person.create(forged),
            person.patch(attempt.record, {"spec": {"held": {"cost": "0"}}}),
            person.patch(attempt.record, {"metadata": {"labels": {"farthing.dev/job-uid": "other"}}}),
            person.replace(attempt.record),
            person.delete(attempt.record),
            person.ask("DELETE", collection),
        ]
        assert [answer.code for answer in answers] == [403] * len(answers)


def test_the_bill_of_ones_own_namespace_can_be_read(people: People, attempt: Attempt) -> None:
    path = f"/apis/farthing.dev/v1alpha1/namespaces/{TEAM}/spendrecords/{attempt.name}"
    assert people.tenant.ask("GET", path).done
    assert people.neighbour.ask("GET", path).code == 403


def test_no_pools_and_no_prices(people: People, attempt: Attempt) -> None:
    cheap: Manifest = {"spec": {"price": {"perAcceleratorHour": "0.000001"}}}
    answers = [person.patch(POOL, cheap) for person in (people.tenant, people.owner, people.treasurer)]
    answers += [people.tenant.create(changed(POOL, {"metadata.name": "mine"})), people.tenant.delete(POOL)]
    assert [answer.code for answer in answers] == [403] * len(answers)
