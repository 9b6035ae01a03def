"""Every CEL rule that compares old with new, on objects that have a status, and that no rule is left untested."""

import itertools
from dataclasses import dataclass

import pytest
from tests.controller.admission.test_rules import CASES
from tests.support.admission import NAMESPACE, patched
from tests.support.manifests import ACCOUNT, JOB, RECORD, Manifest, changed, nested

from farthing.api.crd import crds
from farthing.api.schema import validations
from farthing.local.cluster import LocalCluster

pytestmark = pytest.mark.controller


@dataclass(frozen=True)
class Transition:
    """An object with its status, one patch that the rule lets through and one that it refuses."""

    message: str
    base: Manifest
    status: Manifest
    passes: Manifest
    fails: Manifest

    def __str__(self) -> str:
        return f"{self.base['kind']}: {self.message[:50]}"


STARTED = {"startTime": "2026-11-24T12:00:00Z"}
AXES = ("cost", "acceleratorHours", "flops", "tokens", "energy")


def floors(base: Manifest, limits: str, hold: Manifest) -> list[Transition]:
    """Each axis: 0.1 spent and 0.2 held of 10, so 0.3 is the floor, though 0.1 + 0.2 > 0.3 in doubles."""
    return [
        Transition(
            f"{limits}.{axis} cannot fall below",
            changed(base, {limits: {"cost": "10", axis: "10"}}),
            {"spent": {axis: "0.1"}, "holds": [hold | {"amounts": {axis: "0.2"}}]},
            nested(f"{limits}.{axis}", "0.3"),
            nested(f"{limits}.{axis}", "0.299999"),
        )
        for axis in AXES
    ]


QUOTES = [{"from": f"2026-11-24T1{hour}:00:00Z", "perAcceleratorHour": "0.5"} for hour in range(3)]
INTERVAL = {"from": "2026-11-24T10:00:00Z", "to": "2026-11-24T10:01:00Z", "seconds": 60, "cost": "0.01"}
TRANSITIONS = [
    Transition(
        "spec.model and spec.data",
        JOB,
        STARTED,
        nested("spec.budget.limits.cost", "7"),
        nested("spec.data.seed", 7),
    ),
    Transition(
        "spec.model and spec.data",
        changed(JOB, {"spec.model": {"config": {"width": 1, "layers": [{"kind": "attention"}]}}}),
        STARTED,
        nested("spec.suspend", True),
        nested("spec.model.config.layers", [{"kind": "convolution"}]),
    ),
    Transition(
        "spec.model and spec.data",
        JOB,
        STARTED,
        nested("spec.backoffLimit", 7),
        nested("spec.data.sequenceLength", 512),
    ),
    Transition(
        "spec.model and spec.data",
        JOB,
        STARTED,
        nested("spec.checkpoint.keep", 7),
        nested("spec.model.preset", "llama-7m"),
    ),
    Transition(
        "spec.budget.currency and spec.budget.accountRef",
        changed(JOB, {"spec.budget.accountRef": {"name": "team-a"}}),
        STARTED,
        nested("spec.budget.onExhausted", "CheckpointAndStop"),
        nested("spec.budget.accountRef", None),
    ),
    Transition(
        "spec.managedBy cannot change",
        JOB,
        {},
        nested("spec.suspend", True),
        nested("spec.managedBy", "kueue.x-k8s.io/multikueue"),
    ),
    *floors(JOB, "spec.budget.limits", {"attempt": "tiny-0a1b2-1"}),
    *floors(ACCOUNT, "spec.limits", {"attempt": "tiny-0a1b2-1", "job": "tiny", "jobUid": "8c9f2c3e"}),
    Transition(
        "spec: a SpendRecord's spec cannot change",
        RECORD,
        {},
        nested("metadata.annotations", {"a": "b"}),
        nested("spec.held.cost", "0.01"),
    ),
    Transition(
        "status: a settled SpendRecord cannot change",
        RECORD,
        {"phase": "Settled", "charged": {"cost": "0.05"}},
        nested("status.phase", "Settled"),
        nested("status.charged.cost", "0.01"),
    ),
    Transition(
        "status: a settled SpendRecord cannot change",
        RECORD,
        {"phase": "Settled", "intervals": [INTERVAL]},
        nested("status.intervals", [INTERVAL]),
        nested("status.intervals", [{**INTERVAL, "seconds": 5}]),
    ),
    Transition(
        "status.quotes is append-only",
        RECORD,
        {"phase": "Open", "quotes": QUOTES[:2]},
        nested("status.quotes", QUOTES),
        nested("status.quotes", QUOTES[1:]),
    ),
]

NUMBERS = itertools.count()


def existing(server: LocalCluster, base: Manifest, status: Manifest) -> Manifest:
    """A new object of its own name, with this status."""
    name = f"transition-{next(NUMBERS)}"
    made = changed(base, {"metadata.name": name, "metadata.namespace": NAMESPACE})
    if base is RECORD:
        made["spec"] = {**made["spec"], "attempt": name}  # as the operator writes them
    server.apply(made)
    if status:
        assert "patched" in patched(server, made, {"status": status})
    return made


@pytest.mark.parametrize("case", TRANSITIONS, ids=str)
def test_transition_passes_and_fails(server: LocalCluster, case: Transition) -> None:
    made = existing(server, case.base, case.status)
    assert case.message in patched(server, made, case.fails)
    assert "patched" in patched(server, made, case.passes)


@pytest.mark.parametrize("case", [case for case in TRANSITIONS if "status" in case.fails], ids=str)
def test_a_bill_is_not_forgotten_with_its_status(server: LocalCluster, case: Transition) -> None:
    made = existing(server, case.base, case.status)
    assert case.message in patched(server, made, {"status": None})


def test_limits_fall_freely_before_anything_is_spent_and_rise_always(server: LocalCluster) -> None:
    made = existing(server, JOB, {})
    assert "patched" in patched(server, made, nested("spec.budget.limits.cost", "1"))
    patched(server, made, {"status": {"spent": {"cost": "2"}}})
    assert "patched" in patched(server, made, nested("spec.budget.limits.cost", "1.5"))
    assert "cannot fall below" in patched(server, made, nested("spec.budget.limits.cost", "1.4"))
    assert "cannot fall below" not in patched(server, made, nested("spec.budget.limits.tokens", "1"))


def test_every_rule_has_a_case() -> None:
    """In one of the tables of this package."""
    tested = [case.message for case in (*CASES, *TRANSITIONS)]
    schemas = [crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for crd in crds()]
    messages = [rule["message"] for schema in schemas for rule in validations(schema)]
    assert [message for message in messages if not any(message.startswith(start) for start in tested)] == []
    assert [start for start in tested if not any(message.startswith(start) for message in messages)] == []
