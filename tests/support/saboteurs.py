"""Faults inside a worker's pod, by means that any user has: a file on PYTHONPATH, a variable from a ConfigMap.

No switch of the product is turned but the one that was made for it. Each fault is a ConfigMap, and an edit of a job's manifest.
"""

from typing import Any

from farthing.contract.names import ENV_DISABLE_SUPERVISOR_DEADLINE

Manifest = dict[str, Any]

_ONLY_RANKS = """import os

if "RANK" in os.environ:  # a process of the gang, not the supervisor
"""

DEAF = (
    _ONLY_RANKS
    + """    import math
    import signal

    from farthing_trainer import lease, state

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal = lambda number, handler: None
    lease.seconds_left = lambda end, spent: math.inf
    state.RunState.open_request = lambda self: None
"""
)
"""A trainer that ignores every signal, every request and its own ends."""

SLOW_DISK = (
    _ONLY_RANKS
    + """    import time

    sync = os.fsync

    def slowly(descriptor):
        time.sleep(0.25)
        sync(descriptor)

    os.fsync = slowly
"""
)
"""Every fsync takes a quarter of a second: what is written at the end of a run needs time of its own."""


def code_fault(name: str, code: str) -> tuple[Manifest, Manifest]:
    """A ConfigMap with Python that every process of a pod runs as it starts, and what `spec.template` says to have it."""
    config_map = _config_map(name, {"sitecustomize.py": code})
    template = {
        "volumes": [{"name": name, "configMap": {"name": name}}],
        "volumeMounts": [{"name": name, "mountPath": f"/{name}", "readOnly": True}],
        "env": [{"name": "PYTHONPATH", "value": f"/{name}:/app"}],
    }
    return config_map, template


def without_supervisor(name: str = "no-supervisor") -> tuple[Manifest, Manifest]:
    """The supervisor does not kill at its end."""
    return _config_map(name, {ENV_DISABLE_SUPERVISOR_DEADLINE: "1"}), {"envFrom": [{"configMapRef": {"name": name}}]}


def pod_without_deadline(job: str) -> tuple[Manifest, Manifest]:
    """A policy by which the API server drops `activeDeadlineSeconds` from the pods of a job, and its binding."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    remove = '[JSONPatch{op: "remove", path: "/spec/activeDeadlineSeconds"}]'
    name = f"{job}-without-pod-deadline"
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "resourceRules": [rule],
                "objectSelector": {"matchLabels": {"farthing.dev/job": job}},
            },
            "matchConditions": [{"name": "has-one", "expression": "has(object.spec.activeDeadlineSeconds)"}],
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": remove}}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name},
    }
    return policy, binding


def a_pod_of(job: str) -> Manifest:
    """A pod that such a policy would change, to ask the API server whether it does."""
    container = {
        "name": "main",
        "image": "none",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"activeDeadlineSeconds": 60, "containers": [container], "securityContext": security}
    metadata = {"name": f"{job}-probe", "labels": {"farthing.dev/job": job}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _config_map(name: str, data: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
