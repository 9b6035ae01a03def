"""The pod of an attempt: restricted, sized by the plan, with the tenant's template merged by its allow-list."""

from typing import Any, Final

from farthing.api import BudgetedTrainingJob, GPUNodePool
from farthing.api.base import ApiModel
from farthing.contract.names import (
    CHECKPOINT_DIR,
    CONTROL_PORT,
    ENV_RUN_CONFIG,
    RENDEZVOUS_PORT,
    RUN_CONFIG_DIR,
    RUN_CONFIG_KEY,
    TOKEN_DIR,
)
from farthing.domain.decision import OpenAttempt
from farthing.settings import Settings
from farthing.units import MIB, parse_quantity

Dict = dict[str, Any]

CONTAINER: Final = "trainer"
VOLUME_RUN: Final = "farthing-run"
VOLUME_TOKEN: Final = "farthing-token"  # noqa: S105 - the name of a volume, not a secret
VOLUME_SHM: Final = "farthing-shm"
VOLUME_TMP: Final = "farthing-tmp"
VOLUME_CHECKPOINTS: Final = "farthing-checkpoints"
TMP_SIZE: Final = "2Gi"
"""Limit of the scratch volume at /tmp (on the node's disk)."""
OWN_PREFIX: Final = "farthing.dev/"


def template_metadata(job: BudgetedTrainingJob, labels: dict[str, str]) -> Dict:
    """Metadata of the pods: the tenant's labels and annotations, Farthing's on top; keys below farthing.dev/ are dropped."""
    said = job.spec.template.metadata
    allowed = {key: value for key, value in said.labels.items() if not key.startswith(OWN_PREFIX)}
    metadata: Dict = {"labels": allowed | labels}
    notes = {key: value for key, value in said.annotations.items() if not key.startswith(OWN_PREFIX)}
    return metadata | ({"annotations": notes} if notes else {})


def pod_spec(
    action: OpenAttempt, job: BudgetedTrainingJob, pool: GPUNodePool, settings: Settings, *, native_gangs: bool
) -> Dict:
    """The pod template's spec."""
    template, ends = job.spec.template, action.lease.ends
    spec: Dict = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": ends.pod,
        "terminationGracePeriodSeconds": ends.grace,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "subdomain": action.attempt,
        "nodeSelector": {**template.node_selector, **pool.spec.node_selector},
        "tolerations": [*template.tolerations, *pool.spec.tolerations],
        "securityContext": _pod_security(settings),
        "containers": [_container(action, job, pool, settings)],
        "volumes": [*_volumes(action, job), *(_plain(volume) for volume in template.volumes)],
    }
    optional: Dict = {
        "priorityClassName": settings.worker.priority_class,
        "schedulingGroup": {"podGroupName": action.attempt} if native_gangs else None,
        "serviceAccountName": template.service_account_name,
        "runtimeClassName": template.runtime_class_name,
        "affinity": template.affinity,
        "imagePullSecrets": [_plain(secret) for secret in template.image_pull_secrets] or None,
    }
    return spec | {key: value for key, value in optional.items() if value is not None}


def _container(action: OpenAttempt, job: BudgetedTrainingJob, pool: GPUNodePool, settings: Settings) -> Dict:
    """The one container; its image's entry point is the supervisor."""
    template = job.spec.template
    own_env = {"name": ENV_RUN_CONFIG, "value": f"{RUN_CONFIG_DIR}/{RUN_CONFIG_KEY}"}
    said = [_plain(variable) for variable in template.env if variable.name != ENV_RUN_CONFIG]
    container: Dict = {
        "name": CONTAINER,
        "image": template.image or settings.worker.trainer_image,
        "imagePullPolicy": settings.worker.image_pull_policy,
        "env": [own_env, *said],
        "ports": [
            {"name": "control", "containerPort": CONTROL_PORT, "protocol": "TCP"},
            {"name": "rendezvous", "containerPort": RENDEZVOUS_PORT, "protocol": "TCP"},
        ],
        "resources": _resources(action, job, pool, settings),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "File",
        "volumeMounts": [*_mounts(job), *(_plain(mount) for mount in template.volume_mounts)],
    }
    if template.env_from:
        container["envFrom"] = [_plain(source) for source in template.env_from]
    return container


def _pod_security(settings: Settings) -> Dict:
    """Pod Security level `restricted`; fsGroup makes volumes writable for the user."""
    user = settings.worker.run_as_user
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _resources(action: OpenAttempt, job: BudgetedTrainingJob, pool: GPUNodePool, settings: Settings) -> Dict:
    """Memory: request = limit, so that a pod never lives on its neighbours' memory. The tenant's values are minimums."""
    said, per_pod = job.spec.template.resources, action.plan.allocation.accelerators_per_pod
    accelerators = {pool.spec.resource_name: str(per_pod)}
    memory = _at_least(action.plan.memory_request_bytes, said.requests.get("memory"), said.limits.get("memory"))
    own = {"memory", pool.spec.resource_name}
    requests = {"cpu": settings.attempt.cpu_request} | {k: v for k, v in said.requests.items() if k not in own}
    limits = {key: value for key, value in said.limits.items() if key not in own}
    return {
        "requests": {**requests, "memory": memory, **accelerators},
        "limits": {**limits, "memory": memory, **accelerators},
    }


def _at_least(planned: int, *said: str | None) -> str:
    """The larger of plan and template, in whole MiB, rounded up."""
    most = max([planned, *(int(parse_quantity(text)) for text in said if text is not None)])
    return f"{-(-most // MIB)}Mi"


def _volumes(action: OpenAttempt, job: BudgetedTrainingJob) -> list[Dict]:
    volumes: list[Dict] = [
        {"name": VOLUME_RUN, "configMap": {"name": action.attempt}},
        {"name": VOLUME_TOKEN, "secret": {"secretName": action.attempt, "defaultMode": 0o440}},
        {"name": VOLUME_SHM, "emptyDir": {"medium": "Memory", "sizeLimit": f"{max(1, -(-action.plan.shm_bytes // MIB))}Mi"}},
        {"name": VOLUME_TMP, "emptyDir": {"sizeLimit": TMP_SIZE}},
    ]
    claim = job.spec.checkpoint.storage.persistent_volume_claim
    if claim is not None:
        volumes.append({"name": VOLUME_CHECKPOINTS, "persistentVolumeClaim": {"claimName": claim.claim_name}})
    return volumes


def _mounts(job: BudgetedTrainingJob) -> list[Dict]:
    mounts: list[Dict] = [
        {"name": VOLUME_RUN, "mountPath": RUN_CONFIG_DIR, "readOnly": True},
        {"name": VOLUME_TOKEN, "mountPath": TOKEN_DIR, "readOnly": True},
        {"name": VOLUME_SHM, "mountPath": "/dev/shm"},  # noqa: S108 - a volume of the pod's own
        {"name": VOLUME_TMP, "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's own
    ]
    claim = job.spec.checkpoint.storage.persistent_volume_claim
    if claim is not None:
        mount = {"name": VOLUME_CHECKPOINTS, "mountPath": CHECKPOINT_DIR}
        mounts.append(mount | ({"subPath": claim.sub_path} if claim.sub_path else {}))
    return mounts


def _plain(model: ApiModel) -> Dict:
    return model.to_dict()
