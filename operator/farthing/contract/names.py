"""Names that both sides and every test spell the same way: env variables, labels, paths, ports, HTTP routes."""

import hashlib
from typing import Final

ENV_RUN_CONFIG: Final = "FARTHING_RUN_CONFIG"
"""Path of the run config (JSON of `contract.runconfig.RunConfig`)."""
ENV_POD_INDEX: Final = "JOB_COMPLETION_INDEX"
"""Set by the Job controller: the pod's index in the gang."""
ENV_TERMINATION_LOG: Final = "FARTHING_TERMINATION_LOG"
"""Path of the last word's file; absent: /dev/termination-log, where that can be written."""
ENV_DISABLE_SUPERVISOR_DEADLINE: Final = "FARTHING_TEST_DISABLE_SUPERVISOR_DEADLINE"
"""Test switch: the supervisor forwards signals but does not kill at its deadline."""

LABEL_ATTEMPT: Final = "farthing.dev/attempt"
LABEL_JOB: Final = "farthing.dev/job"
LABEL_JOB_UID: Final = "farthing.dev/job-uid"
LABEL_STAGE: Final = "farthing.dev/stage"
LABEL_POOL: Final = "farthing.dev/pool"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "farthing.dev/operator"
"""Default of spec.managedBy; objects with another value are left alone."""
FINALIZER_LEDGER: Final = "farthing.dev/ledger"
"""Stands on an attempt's pods only: terminal pods keep their times and last word until the bill is settled."""
ANNOTATION_DRAIN: Final = "farthing.dev/drain"
"""On the operator's Lease, naming its holder: that process stops every attempt and starts none, until it ends."""

RUN_CONFIG_KEY: Final = "run.json"
RUN_CONFIG_DIR: Final = "/etc/farthing/run"
TOKEN_KEY: Final = "token"  # noqa: S105 - the name of a key, not a secret
TOKEN_DIR: Final = "/etc/farthing/token"  # noqa: S105 - a path, not a secret
CHECKPOINT_DIR: Final = "/checkpoints"
"""Where checkpoint.storage.persistentVolumeClaim is mounted in every pod of an attempt."""
CONTROL_PORT: Final = 9400
"""Rank 0 serves /metrics, /progress, /healthz, POST /checkpoint and POST /lease here."""
RENDEZVOUS_PORT: Final = 29400

ROUTE_METRICS: Final = "/metrics"
ROUTE_PROGRESS: Final = "/progress"
ROUTE_CHECKPOINT: Final = "/checkpoint"
ROUTE_LEASE: Final = "/lease"
ROUTE_HEALTH: Final = "/healthz"

MAX_JOB_NAME: Final = 40
UID_HASH_LENGTH: Final = 5


def attempt_name(job_name: str, job_uid: str, number: int) -> str:
    """`<job>-<5 characters of the UID's hash>-<n>`: unique also when a job is deleted and re-created."""
    return f"{job_name}-{uid_hash(job_uid)}-{number}"


def uid_hash(job_uid: str) -> str:
    """Five lower-case hexadecimal characters that tell two jobs of one name apart."""
    return hashlib.sha256(job_uid.encode()).hexdigest()[:UID_HASH_LENGTH]


def request_id(attempt: str, reason: str, generation: int) -> str:
    """The id of a checkpoint request: the same cause asks with the same id, so asking twice changes nothing."""
    return hashlib.sha256(f"{attempt}/{reason}/{generation}".encode()).hexdigest()[:16]
