"""A job's control port and run config: for the operator and its own gang, by token and by network."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.controller.tenants.conftest import NEIGHBOUR, TEAM, Attempt, People
from tests.support.ports import Caller, admits, control_port
from tests.support.tenants import SYSTEM

from farthing.contract.handshake import control_token
from farthing.contract.names import CONTROL_PORT, LABEL_ATTEMPT, RENDEZVOUS_PORT, RUN_CONFIG_KEY, TOKEN_KEY
from farthing.kube import resources as of
from farthing.local.cluster import LocalCluster

pytestmark = pytest.mark.controller

STOP = {"id": "r1", "reason": "Preempted", "then": "Stop", "deadlineSeconds": 30}
LEASE = {"id": "l1", "budgetEnd": {"tokens": 5}}


@pytest.fixture(scope="module")
def tokens(charted: LocalCluster, attempt: Attempt) -> dict[str, str]:
    """The attempt's own token, and what another attempt's is: the same key, another record."""
    secret = charted.get("secret", "farthing-operator-key", "-n", SYSTEM)
    key = base64.b64decode(secret["data"]["key"])
    own = base64.b64decode(attempt.children["Secret"]["data"][TOKEN_KEY]).decode()
    assert own == control_token(key, attempt.record["metadata"]["uid"])
    return {"own": own, "another": control_token(key, "another-record"), "empty": "", "the key": key.hex()}


@pytest.fixture(scope="module")
def port(tokens: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """The trainer's own control server, with the token that the attempt's Secret mounts."""
    file: Path = tmp_path_factory.mktemp("token") / TOKEN_KEY
    file.write_text(tokens["own"])
    with control_port(file) as caller:
        yield caller


@pytest.mark.parametrize("route", ["/checkpoint", "/lease"])
@pytest.mark.parametrize(
    "header", [None, "", "Bearer ", "Basic {own}", "{own}", "bearer {own}", "Bearer {another}", "Bearer {the key}"]
)
def test_no_other_token_opens_it(port: Caller, tokens: dict[str, str], route: str, header: str | None) -> None:
    before = port.state()
    said = None if header is None else header.format(**tokens)
    assert port.post(route, STOP if route == "/checkpoint" else LEASE, said) == 401
    assert port.state() == before


def test_its_own_does(port: Caller, tokens: dict[str, str]) -> None:
    assert port.post("/lease", LEASE, f"Bearer {tokens['own']}") == 200
    assert port.post("/checkpoint", STOP, f"Bearer {tokens['own']}") == 202


def test_without_a_token_nobody_opens_it() -> None:
    with control_port(None) as unguarded:
        assert unguarded.post("/checkpoint", STOP, "Bearer ") == 403


class TestNetwork:
    """What the attempt's NetworkPolicy says; a network plugin enforces it."""

    @pytest.fixture
    def policy(self, attempt: Attempt) -> dict[str, Any]:
        return attempt.children["NetworkPolicy"]

    def test_it_is_about_the_attempts_pods_and_no_others(self, policy: dict[str, Any], attempt: Attempt) -> None:
        assert policy["spec"]["podSelector"] == {"matchLabels": {LABEL_ATTEMPT: attempt.name}}
        assert policy["spec"]["policyTypes"] == ["Ingress"]
        assert attempt.children["Pod"]["metadata"]["labels"][LABEL_ATTEMPT] == attempt.name

    @pytest.mark.parametrize("port_number", [CONTROL_PORT, RENDEZVOUS_PORT, 22])
    def test_the_gang_reaches_itself(self, policy: dict[str, Any], attempt: Attempt, port_number: int) -> None:
        assert admits(policy, TEAM, {LABEL_ATTEMPT: attempt.name}, port_number)

    @pytest.mark.parametrize("namespace", [SYSTEM, "monitoring"])
    def test_operator_and_prometheus_reach_the_control_port_alone(self, policy: dict[str, Any], namespace: str) -> None:
        assert admits(policy, namespace, {}, CONTROL_PORT)
        assert not admits(policy, namespace, {}, RENDEZVOUS_PORT)

    @pytest.mark.parametrize(
        ("namespace", "labels"),
        [
            (NEIGHBOUR, {}),
            (NEIGHBOUR, {LABEL_ATTEMPT: "own"}),
            (TEAM, {}),
            (TEAM, {LABEL_ATTEMPT: "other-0a1b2-1"}),
            ("default", {"app.kubernetes.io/name": "farthing"}),
        ],
    )
    def test_nobody_else_reaches_any(
        self, policy: dict[str, Any], attempt: Attempt, namespace: str, labels: dict[str, str]
    ) -> None:
        said = {LABEL_ATTEMPT: attempt.name} if labels.get(LABEL_ATTEMPT) == "own" else labels
        assert not any(admits(policy, namespace, said, number) for number in (CONTROL_PORT, RENDEZVOUS_PORT, 22))


def test_another_namespace_reads_nothing_of_a_job(people: People, attempt: Attempt) -> None:
    pod = attempt.children["Pod"]["metadata"]["name"]
    reads = [
        people.neighbour.get(of.CONFIG_MAPS, TEAM, attempt.name),
        people.neighbour.get(of.SECRETS, TEAM, attempt.name),
        people.neighbour.get(of.CONFIG_MAPS, TEAM),
        people.neighbour.get(of.SECRETS, TEAM),
        people.neighbour.get(of.CONFIG_MAPS),
        people.neighbour.get(of.SECRETS),
        people.neighbour.get(of.TRAINING_JOBS, TEAM),
        people.neighbour.get(of.RECORDS),
        people.neighbour.get(of.PODS, TEAM, pod, "log"),
        people.neighbour.get(of.PODS, TEAM, f"{pod}:{CONTROL_PORT}", "proxy/progress"),
        people.neighbour.get(of.SERVICES, TEAM, f"{attempt.name}:{CONTROL_PORT}", "proxy/progress"),
        people.neighbour.ask("POST", of.PODS.path(TEAM, pod, "exec") + "?command=sh"),
        people.neighbour.ask("POST", of.PODS.path(TEAM, pod, "portforward")),
        people.neighbour.ask("POST", of.PODS.path(TEAM, pod, "eviction"), {}),
    ]
    assert [answer.code for answer in reads] == [403] * len(reads)


def test_an_author_of_jobs_reads_neither(people: People, attempt: Attempt) -> None:
    """The chart's editor role alone, without Kubernetes' own `edit`, shows no Secret and no run config."""
    for resource in (of.CONFIG_MAPS, of.SECRETS, of.PODS):
        assert people.author.get(resource, TEAM).code == 403


def test_the_boundary_is_the_namespace(people: People, attempt: Attempt) -> None:
    """docs/security.md says so: who edits a namespace reads its ConfigMaps and Secrets, by Kubernetes' own rules."""
    assert RUN_CONFIG_KEY in people.tenant.get(of.CONFIG_MAPS, TEAM, attempt.name).body["data"]
    assert TOKEN_KEY in people.tenant.get(of.SECRETS, TEAM, attempt.name).body["data"]


def test_the_run_config_holds_no_secret(attempt: Attempt, tokens: dict[str, str]) -> None:
    text = json.dumps([attempt.children["ConfigMap"], attempt.children["Pod"], attempt.children["Job"], attempt.record])
    assert tokens["own"] not in text
    assert tokens["the key"] not in text
