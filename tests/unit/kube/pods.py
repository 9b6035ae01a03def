"""Pods and Jobs as a 1.37 API server returned them, cut to the members that matter: one for each way in which a pod ends."""

import copy
from typing import Any

Dict = dict[str, Any]

BOUND = "2026-11-24T10:00:00Z"
STARTED = "2026-11-24T10:00:01Z"
RUNNING_AT = "2026-11-24T10:00:03Z"
ENDED = "2026-11-24T10:05:00Z"

LAST_WORD = (
    '{"exitCode":143,"reason":"StoppedOnRequest","progress":{"attempt":"lm-0a1b2-1","stage":"Train","phase":"Finished",'
    '"started":"2026-11-24T10:00:03Z","step":120,"tokens":122880,"flops":1.5e12}}'
)


def condition(kind: str, status: str, time: str, reason: str = "", message: str = "") -> Dict:
    return {"type": kind, "status": status, "lastTransitionTime": time, "reason": reason, "message": message}


RUNNING: Dict = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "lm-0a1b2-1-0-x7k2p",
        "namespace": "team",
        "uid": "pod-uid-0",
        "resourceVersion": "812",
        "labels": {"farthing.dev/attempt": "lm-0a1b2-1", "batch.kubernetes.io/job-completion-index": "0"},
        "annotations": {"batch.kubernetes.io/job-completion-index": "0"},
        "finalizers": ["batch.kubernetes.io/job-tracking", "farthing.dev/ledger"],
        "managedFields": [{"manager": "kubelet", "subresource": "status", "time": RUNNING_AT, "operation": "Update"}],
    },
    "spec": {
        "nodeName": "gpu-0",
        "containers": [{"name": "trainer", "resources": {"requests": {"nvidia.com/gpu": "4", "memory": "8Gi"}}}],
    },
    "status": {
        "phase": "Running",
        "podIP": "10.244.0.7",
        "startTime": STARTED,
        "conditions": [
            condition("PodReadyToStartContainers", "True", RUNNING_AT),
            condition("Initialized", "True", STARTED),
            condition("Ready", "True", RUNNING_AT),
            condition("ContainersReady", "True", RUNNING_AT),
            condition("PodScheduled", "True", BOUND),
        ],
        "containerStatuses": [{"name": "trainer", "ready": True, "state": {"running": {"startedAt": RUNNING_AT}}}],
    },
}


def ended(
    exit_code: int,
    *,
    reason: str = "Error",
    phase: str = "Failed",
    message: str | None = None,
    deleted: bool = False,
    pod_reason: str | None = None,
    finished: str | None = ENDED,
) -> Dict:
    """The running pod after its container ended."""
    pod = copy.deepcopy(RUNNING)
    terminated: Dict = {"exitCode": exit_code, "reason": reason}
    if finished:
        terminated |= {"startedAt": RUNNING_AT, "finishedAt": finished}
    if message is not None:
        terminated["message"] = message
    pod["status"] |= {"phase": phase, "containerStatuses": [{"name": "trainer", "state": {"terminated": terminated}}]}
    pod["status"]["conditions"][2:4] = [condition("Ready", "False", ENDED), condition("ContainersReady", "False", ENDED)]
    pod["metadata"]["finalizers"] = ["farthing.dev/ledger"]
    if pod_reason:
        pod["status"]["reason"] = pod_reason
    if deleted:
        pod["metadata"] |= {"deletionTimestamp": ENDED, "deletionGracePeriodSeconds": 0}
    return pod


JOB_DELETED = ended(143, message=LAST_WORD, deleted=True)
GRACE_EXCEEDED = ended(137, deleted=True)
FORCE_DELETED = ended(143, message=LAST_WORD, deleted=True)
POD_DEADLINE = ended(143, message=LAST_WORD, pod_reason="DeadlineExceeded")
JOB_DEADLINE = ended(143, message=LAST_WORD, deleted=True)
TRY_AGAIN = ended(75, message='{"exitCode":75,"reason":"PeerLost"}')
LANDED = ended(0, reason="Completed", phase="Succeeded", message='{"exitCode":0,"reason":"Landed"}')
NODE_CAME_BACK = ended(255, reason="Unknown")
OUT_OF_MEMORY = ended(137, reason="OOMKilled")


def image_missing() -> Dict:
    """A pod whose image was never there, after its deadline: exit 137 without times; Ready was False from the start."""
    pod = ended(137, reason="ContainerStatusUnknown", finished=None, pod_reason="DeadlineExceeded")
    pod["status"]["conditions"] = [
        condition("Initialized", "True", STARTED),
        condition("Ready", "False", STARTED, "ContainersNotReady"),
        condition("ContainersReady", "False", STARTED, "ContainersNotReady"),
        condition("PodScheduled", "True", BOUND),
    ]
    pod["metadata"]["managedFields"] = [{"manager": "kubelet", "subresource": "status", "time": ENDED}]
    return pod


def deleted_unscheduled() -> Dict:
    """A pod that was deleted before it had a node: failed by the pod garbage collector, without containerStatuses."""
    pod = copy.deepcopy(RUNNING)
    del pod["spec"]["nodeName"]
    pod["metadata"] |= {"deletionTimestamp": ENDED}
    pod["status"] = {
        "phase": "Failed",
        "conditions": [
            condition("PodScheduled", "False", BOUND, "Unschedulable", "0/1 nodes are available"),
            condition("DisruptionTarget", "True", ENDED, "DeletionByPodGC"),
        ],
    }
    return pod


def waiting(reason: str, message: str) -> Dict:
    """A pod on its node whose container does not start."""
    pod = copy.deepcopy(RUNNING)
    pod["status"] |= {
        "phase": "Pending",
        "containerStatuses": [{"name": "trainer", "state": {"waiting": {"reason": reason, "message": message}}}],
    }
    pod["status"]["conditions"][2:4] = [condition("Ready", "False", STARTED), condition("ContainersReady", "False", STARTED)]
    return pod


def job(*conditions: Dict, suspend: bool = False, start: str | None = BOUND) -> Dict:
    """The Job of an attempt."""
    status: Dict = {"conditions": list(conditions)}
    if start:
        status["startTime"] = start
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "lm-0a1b2-1", "namespace": "team", "uid": "job-uid", "creationTimestamp": BOUND},
        "spec": {"suspend": suspend, "activeDeadlineSeconds": 900},
        "status": status,
    }
