"""Money: who may raise an account, and that nobody gets round it."""

import pytest
from tests.controller.tenants.conftest import PAYING, People, a_job, an_account
from tests.support.manifests import Manifest, nested

pytestmark = pytest.mark.controller

RAISES = {
    "more money": nested("spec.limits.cost", "100.000001"),
    "an axis gone": nested("spec.limits.tokens", None),
    "another window": nested("spec.window", {"period": "1h"}),
    "carry-over": nested("spec.carryOver", True),
    "another currency": nested("spec.currency", "JPY"),
    "one down, one up": {"spec": {"limits": {"cost": "1", "tokens": "1e10"}}},
    "in another notation": nested("spec.limits.tokens", "10.01e8"),
}


@pytest.fixture(scope="module")
def account(people: People) -> Manifest:
    """Opened by the treasurer, by certificate."""
    answer = people.treasurer.create(an_account(), dry=False)
    assert answer.done, answer.message
    return an_account()


@pytest.mark.parametrize("raised", RAISES.values(), ids=RAISES)
def test_only_the_verb_raises(people: People, account: Manifest, raised: Manifest) -> None:
    assert people.tenant.patch(account, raised).refuses("cannot patch resource")
    assert people.steward.patch(account, raised).refuses('this needs the verb "raise"')
    assert people.treasurer.patch(account, raised).done


def test_a_whole_new_account_is_a_raise_too(people: People, account: Manifest) -> None:
    standing = people.steward.ask("GET", "/apis/farthing.dev/v1alpha1/namespaces/tenants-team/trainingbudgets/team-a").body
    richer = {**standing, "spec": {**standing["spec"], "limits": {"cost": "1000"}}}
    assert people.steward.replace(richer).refuses('needs the verb "raise"')
    assert people.steward.create(an_account("second")).refuses("may not open the account second")
    poorer = {**standing, "spec": {**standing["spec"], "limits": {"cost": "99", "tokens": "1e9"}}}
    assert people.steward.replace(poorer).done


def test_an_editor_has_no_say_in_accounts(people: People, account: Manifest) -> None:
    answers = [
        people.tenant.create(an_account("mine")),
        people.tenant.patch(account, nested("spec.limits.cost", "1")),
        people.tenant.patch(account, nested("metadata.labels", {"a": "b"})),
        people.tenant.replace(account),
        people.tenant.delete(account),
        people.owner.delete(account),
        people.tenant.ask("DELETE", "/apis/farthing.dev/v1alpha1/namespaces/tenants-team/trainingbudgets"),
    ]
    assert [answer.code for answer in answers] == [403] * len(answers)


def test_where_accounts_are_required_no_job_does_without(people: People) -> None:
    unpaid, paid = a_job(namespace=PAYING), a_job(namespace=PAYING, **{"spec.budget.accountRef": {"name": "team-a"}})
    assert people.tenant.create(unpaid).refuses("spec.budget.accountRef: every job in tenants-paying draws on an account")
    assert people.treasurer.create(unpaid).done
    assert people.tenant.create(paid, dry=False).done
    assert people.tenant.patch(paid, nested("spec.budget.accountRef", None)).refuses("draws on an account")
    assert people.tenant.patch(paid, nested("spec.budget.limits.cost", "6")).done


def test_the_label_that_requires_them_is_the_administrators(people: People) -> None:
    free = {"metadata": {"labels": {"farthing.dev/account": None}}}
    assert people.tenant.ask("PATCH", f"/api/v1/namespaces/{PAYING}", free).code == 403
