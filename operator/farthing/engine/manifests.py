"""An attempt as plain Kubernetes objects (DESIGN 4 "The attempt's Job", 9, 13, 14): built purely, created by `kube`.

The record first, then Secret, ConfigMap, Service, NetworkPolicy (and PodGroup), the Job last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from farthing.api import API_VERSION, BudgetedTrainingJob, GPUNodePool
from farthing.contract.exit_codes import ExitCode
from farthing.contract.names import (
    CONTROL_PORT,
    FINALIZER_LEDGER,
    LABEL_ATTEMPT,
    LABEL_JOB,
    LABEL_JOB_UID,
    LABEL_MANAGED_BY,
    LABEL_POOL,
    LABEL_STAGE,
    RENDEZVOUS_PORT,
    RUN_CONFIG_KEY,
    TOKEN_KEY,
)
from farthing.domain.decision import OpenAttempt
from farthing.engine.opening import annotations, record_spec
from farthing.engine.pods import pod_spec, template_metadata
from farthing.settings import Settings

Dict = dict[str, Any]

FAILURE_EXIT_CODES = (ExitCode.OUT_OF_MEMORY, ExitCode.BAD_CONFIG, ExitCode.TRY_AGAIN, ExitCode.STOPPED)
"""One rule each, so that the Job's message names the code; the Job fails at the first, the operator decides what follows."""


@dataclass(frozen=True, slots=True)
class Manifests:
    """The objects of one attempt, in the shape of the port `AttemptManifests`."""

    record: Dict
    secret: Dict
    children: Sequence[Dict]
    job: Dict


@dataclass(frozen=True, slots=True)
class ManifestContext:
    """What is needed beside the start itself. `opened_at` is RFC 3339; `native_gangs`: PodGroups are served."""

    job: BudgetedTrainingJob
    pool: GPUNodePool
    settings: Settings
    native_gangs: bool
    opened_at: str
    memory_step: int = 0


def attempt_manifests(action: OpenAttempt, context: ManifestContext) -> Manifests:
    """Every object of a start. Names are the attempt's own, so that creating twice finds instead of doubling."""
    children = [_config_map(action, context), _service(action, context), _network_policy(action, context)]
    if context.native_gangs:
        children.append(_pod_group(action, context))
    return Manifests(
        record=_record(action, context), secret=_secret(action, context), children=children, job=_job(action, context)
    )


def attempt_labels(action: OpenAttempt, job: BudgetedTrainingJob) -> dict[str, str]:
    """Labels of every object of an attempt, pods and record included."""
    return {
        LABEL_ATTEMPT: action.attempt,
        LABEL_JOB: job.metadata.name,
        LABEL_JOB_UID: job.metadata.uid,
        LABEL_STAGE: action.stage,
        LABEL_POOL: action.plan.allocation.pool,
        LABEL_MANAGED_BY: "farthing",
    }


def _metadata(action: OpenAttempt, context: ManifestContext, *, owned: bool = True) -> Dict:
    meta = context.job.metadata
    metadata: Dict = {
        "name": action.attempt,
        "namespace": meta.namespace or "default",
        "labels": attempt_labels(action, context.job),
    }
    if owned:
        metadata["ownerReferences"] = [
            {
                "apiVersion": API_VERSION,
                "kind": "BudgetedTrainingJob",
                "name": meta.name,
                "uid": meta.uid,
                "controller": True,
            }
        ]
    return metadata


def _record(action: OpenAttempt, context: ManifestContext) -> Dict:
    """The bill outlives the job: no owner."""
    job = context.job
    account = job.spec.budget.account_ref
    metadata = _metadata(action, context, owned=False)
    metadata["annotations"] = annotations(action, job.metadata.generation, job.spec.budget)
    return {
        "apiVersion": API_VERSION,
        "kind": "SpendRecord",
        "metadata": metadata,
        "spec": record_spec(
            action,
            name=job.metadata.name,
            uid=job.metadata.uid,
            account=None if account is None else account.name,
            opened_at=context.opened_at,
            memory_step=context.memory_step,
        ),
    }


def _secret(action: OpenAttempt, context: ManifestContext) -> Dict:
    """The token is empty here: the adapter that holds the operator's key fills it in."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(action, context),
        "type": "Opaque",
        "stringData": {TOKEN_KEY: ""},
    }


def _config_map(action: OpenAttempt, context: ManifestContext) -> Dict:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(action, context),
        "data": {RUN_CONFIG_KEY: action.run_config.to_json()},
    }


def _service(action: OpenAttempt, context: ManifestContext) -> Dict:
    """Headless; addresses of pods that are not ready yet are published, since rendezvous comes before readiness."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(action, context),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {LABEL_ATTEMPT: action.attempt},
            "ports": [
                {"name": "control", "port": CONTROL_PORT, "targetPort": CONTROL_PORT, "protocol": "TCP"},
                {"name": "rendezvous", "port": RENDEZVOUS_PORT, "targetPort": RENDEZVOUS_PORT, "protocol": "TCP"},
            ],
        },
    }


def _network_policy(action: OpenAttempt, context: ManifestContext) -> Dict:
    """Into the pods: the gang itself on any port; operator and Prometheus on the control port alone."""
    settings = context.settings
    pods = {"matchLabels": {LABEL_ATTEMPT: action.attempt}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(action, context),
        "spec": {
            "podSelector": pods,
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"podSelector": pods}]},
                {
                    "from": [_namespace(settings.operator_namespace), _namespace(settings.prometheus_namespace)],
                    "ports": [{"port": CONTROL_PORT, "protocol": "TCP"}],
                },
            ],
        },
    }


def _namespace(name: str) -> Dict:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _pod_group(action: OpenAttempt, context: ManifestContext) -> Dict:
    """Owned by the training job: a PodGroup survives its batch Job."""
    return {
        "apiVersion": "scheduling.k8s.io/v1beta1",
        "kind": "PodGroup",
        "metadata": _metadata(action, context),
        "spec": {"schedulingPolicy": {"gang": {"minCount": action.plan.allocation.pods}}},
    }


def _job(action: OpenAttempt, context: ManifestContext) -> Dict:
    """One try of one gang: no back-off, no TTL, no replacement while a pod still ends."""
    ends, pods = action.lease.ends, action.plan.allocation.pods
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(action, context),
        "spec": {
            "completionMode": "Indexed",
            "completions": pods,
            "parallelism": pods,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": ends.startup_timeout + ends.job,
            "suspend": not context.native_gangs,
            "successPolicy": {"rules": [{"succeededIndexes": "0"}]},
            "podFailurePolicy": {"rules": _failure_rules()},
            "template": {
                "metadata": {
                    **template_metadata(context.job, attempt_labels(action, context.job)),
                    "finalizers": [FINALIZER_LEDGER],
                },
                "spec": pod_spec(action, context.job, context.pool, context.settings, native_gangs=context.native_gangs),
            },
        },
    }


def _failure_rules() -> list[Dict]:
    by_code = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [int(code)]}} for code in FAILURE_EXIT_CODES]
    return [*by_code, {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
