"""What the aggregated roles come to, asked of the API server that put them together."""

import itertools
from typing import Any

import pytest
from tests.controller.tenants.conftest import NEIGHBOUR, TEAM, People
from tests.support.tenants import crd_names

from farthing.local.cluster import LocalCluster

pytestmark = pytest.mark.controller

READ = {"get", "list", "watch"}
WRITE = {"create", "update", "patch", "delete", "deletecollection"}


def ours(made: LocalCluster, role: str) -> dict[str, set[str]]:
    """Verbs by resource of farthing.dev, in a role as it stands."""
    rules: list[dict[str, Any]] = made.get("clusterrole", role)["rules"]
    held: dict[str, set[str]] = {}
    for rule in rules:
        for resource in rule.get("resources", []) if "farthing.dev" in rule.get("apiGroups", []) else []:
            held.setdefault(resource, set()).update(rule["verbs"])
    return held


@pytest.mark.parametrize("role", ["edit", "admin"])
def test_editors_hold_jobs_and_read_the_rest(charted: LocalCluster, people: People, role: str) -> None:
    expected = dict.fromkeys(crd_names(), READ) | {"budgetedtrainingjobs": READ | WRITE}
    assert ours(charted, role) == expected


def test_viewers_read(charted: LocalCluster, people: People) -> None:
    assert ours(charted, "view") == dict.fromkeys(crd_names(), READ)


def test_a_tenants_own_review_says_the_same(people: People) -> None:
    verbs = READ | WRITE | {"raise", "release", "escalate", "bind", "impersonate", "*"}
    held = {
        (verb, plural)
        for verb, plural in itertools.product(verbs, crd_names())
        if people.tenant.may(verb, "farthing.dev", plural, TEAM)
    }
    expected = {(verb, plural) for verb, plural in itertools.product(READ, crd_names())}
    assert held == expected | {(verb, "budgetedtrainingjobs") for verb in WRITE}
    assert not any(
        people.tenant.may(verb, "farthing.dev", f"{plural}/status", TEAM) for verb in WRITE for plural in crd_names()
    )
    assert not any(people.tenant.may(verb, "farthing.dev", plural, NEIGHBOUR) for verb in verbs for plural in crd_names())
