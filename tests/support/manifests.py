"""Small valid objects of each kind, and a way to change one field of them."""

import copy
from pathlib import Path
from typing import Any

CHART = Path(__file__).parents[2] / "charts" / "farthing"

Manifest = dict[str, Any]

JOB: Manifest = {
    "apiVersion": "farthing.dev/v1alpha1",
    "kind": "BudgetedTrainingJob",
    "metadata": {"name": "tiny", "namespace": "default"},
    "spec": {
        "model": {"preset": "llama-1m"},
        "data": {"train": {"uri": "file:///data/*.py"}},
        "budget": {"limits": {"cost": "5.00"}, "currency": "USD"},
        "checkpoint": {"storage": {"persistentVolumeClaim": {"claimName": "checkpoints"}}},
    },
}
POOL: Manifest = {
    "apiVersion": "farthing.dev/v1alpha1",
    "kind": "GPUNodePool",
    "metadata": {"name": "slots"},
    "spec": {
        "accelerator": "cpu-slot",
        "price": {"perAcceleratorHour": "0.50", "currency": "USD", "source": "example"},
        "resourceName": "farthing.dev/cpu-slot",
        "namespaceSelector": {},
    },
}
ACCOUNT: Manifest = {
    "apiVersion": "farthing.dev/v1alpha1",
    "kind": "TrainingBudget",
    "metadata": {"name": "team-a", "namespace": "default"},
    "spec": {"limits": {"cost": "100", "tokens": "1e9"}, "currency": "USD"},
}
RECORD: Manifest = {
    "apiVersion": "farthing.dev/v1alpha1",
    "kind": "SpendRecord",
    "metadata": {"name": "tiny-0a1b2-1", "namespace": "default"},
    "spec": {
        "job": {"name": "tiny", "uid": "8c9f2c3e"},
        "attempt": "tiny-0a1b2-1",
        "number": 1,
        "stage": "Train",
        "pool": "slots",
        "accelerator": "cpu-slot",
        "pods": 2,
        "acceleratorsPerPod": 1,
        "quote": {"from": "2026-11-24T12:00:00Z", "perAcceleratorHour": "0.50", "currency": "USD"},
        "held": {"cost": "0.06"},
        "ends": {"trainer": 60, "supervisor": 70, "pod": 80, "job": 80, "hard": 90, "grace": 10, "startupTimeout": 600},
        "openedAt": "2026-11-24T12:00:00Z",
    },
}


def children_label(attempt: str) -> dict[str, str]:
    """The label of an attempt's children."""
    return {"farthing.dev/attempt": attempt}


def config_map(name: str, namespace: str, labels: dict[str, str]) -> Manifest:
    """A small config map."""
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"run.json": "{}"}}


def nested(path: str, value: Any) -> Manifest:
    """A merge patch of one field, by dotted path."""
    for key in reversed(path.split(".")):
        value = {key: value}
    patch: Manifest = value
    return patch


def changed(manifest: Manifest, changes: Manifest) -> Manifest:
    """A copy with fields set by dotted path, for example {"spec.budget.limits": {"tokens": "1e6"}}; None removes the field."""
    result = copy.deepcopy(manifest)
    for path, value in changes.items():
        *parents, last = path.split(".")
        node = result
        for parent in parents:
            node = node.setdefault(parent, {})
        if value is None:
            node.pop(last, None)
        else:
            node[last] = copy.deepcopy(value)
    return result
