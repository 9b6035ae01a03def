"""Pods, Jobs and nodes as the API server returns them → the facts that the domain knows. Pure, and tolerant: a member that a
kubelet has not written yet, or a garbled last word, is absent rather than an error."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from pydantic import ValidationError

from farthing.contract.names import ENV_POD_INDEX, FINALIZER_LEDGER
from farthing.contract.progress import LastWord
from farthing.domain.snapshot import JobFacts, PodFacts
from farthing.units import parse_time

INDEX: Final = "batch.kubernetes.io/job-completion-index"
"""Annotation and label that the Job controller gives a pod of an Indexed Job; the container sees it as JOB_COMPLETION_INDEX."""

NORMAL_WAITS: Final = frozenset({"ContainerCreating", "PodInitializing"})
"""Waiting reasons of every healthy start: nothing to report."""

assert ENV_POD_INDEX == "JOB_COMPLETION_INDEX"

Dict = Mapping[str, Any]


def pod_facts(pod: Dict) -> PodFacts:
    """What one pod of an attempt tells."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    container = _container(status)
    terminated = (container.get("state") or {}).get("terminated") or {}
    reason, message = _waiting(container, status)
    phase = status.get("phase", "Pending")
    return PodFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        index=_index(metadata),
        phase=phase,
        node=(pod.get("spec") or {}).get("nodeName"),
        ip=status.get("podIP"),
        ready=_is_true(status, "Ready"),
        bound_at=_transition(status, "PodScheduled", "True"),
        started_at=_time(status.get("startTime")),
        finished_at=_finished_at(status),
        terminal_at=_terminal_at(metadata, status) if phase in ("Succeeded", "Failed") else None,
        deleted_at=_time(metadata.get("deletionTimestamp")),
        exit_code=terminated.get("exitCode"),
        container_reason=terminated.get("reason"),
        pod_reason=status.get("reason"),
        waiting_reason=reason,
        waiting_message=message,
        disrupted=_is_true(status, "DisruptionTarget"),
        held=FINALIZER_LEDGER in metadata.get("finalizers", ()),
        ownerless=not metadata.get("ownerReferences"),
        last_word=parse_last_word(terminated.get("message")),
    )


def job_facts(job: Dict) -> JobFacts:
    """What an attempt's batch/v1 Job tells. `FailureTarget` and `SuccessCriteriaMet` are announcements, not ends."""
    metadata, spec, status = job["metadata"], job["spec"], job.get("status") or {}
    complete, failed = _condition(status, "Complete", "True"), _condition(status, "Failed", "True")
    final = complete or failed
    return JobFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        suspended=bool(spec.get("suspend", False)),
        started_at=_time(status.get("startTime")),
        active_deadline_seconds=spec.get("activeDeadlineSeconds"),
        complete=complete is not None,
        failed=failed is not None,
        failed_reason=failed.get("reason") if failed else None,
        finished_at=_time(final.get("lastTransitionTime")) if final else None,
        deleting=metadata.get("deletionTimestamp") is not None,
        created_at=_time(metadata.get("creationTimestamp")),
    )


def parse_last_word(message: str | None) -> LastWord | None:
    """The termination message as a last word; None where there is none or where it is something else (a traceback, a cut)."""
    if not message:
        return None
    try:
        return LastWord.model_validate_json(message)
    except ValidationError:
        return None


def node_ready(node: Dict) -> bool:
    """Whether its kubelet reports and takes pods."""
    return _is_true(node.get("status") or {}, "Ready") and not (node.get("spec") or {}).get("unschedulable", False)


def node_reachable(node: Dict) -> bool:
    """Whether its kubelet reports at all; a cordoned node does."""
    return _is_true(node.get("status") or {}, "Ready")


def allocatable(node: Dict, resource: str) -> int:
    """Whole units of an extended resource on a node."""
    return whole((((node.get("status") or {}).get("allocatable")) or {}).get(resource, "0"))


def pod_requests(pod: Dict, resource: str) -> int:
    """What the scheduler charges a node for a pod: the sum of its containers, or its largest init container."""
    spec = pod.get("spec") or {}
    running = sum(_request(container, resource) for container in spec.get("containers") or ())
    starting = max((_request(container, resource) for container in spec.get("initContainers") or ()), default=0)
    return max(running, starting)


def occupies(pod: Dict) -> bool:
    """Whether the scheduler still counts the pod against its node; a finalizer does not make it count."""
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


_SCALES: Final = (
    {suffix: Decimal(10) ** power for suffix, power in zip("num", (-9, -6, -3), strict=True)}
    | {suffix: Decimal(1000) ** power for power, suffix in enumerate(("", "k", "M", "G", "T", "P", "E"))}
    | {suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)}
)


def whole(quantity: str | int) -> int:
    """A resource.Quantity of any suffix, rounded down to whole units (bytes of memory, pieces of an accelerator)."""
    text = str(quantity)
    number = text.rstrip("nukKMGTPEmi")
    return int(Decimal(number) * _SCALES[text[len(number) :]])


def _request(container: Dict, resource: str) -> int:
    resources = container.get("resources") or {}
    asked = (resources.get("requests") or {}).get(resource) or (resources.get("limits") or {}).get(resource)
    return whole(asked) if asked else 0


def _container(status: Dict) -> Dict:
    """The status of the one container that Farthing gives a pod."""
    statuses: list[dict[str, Any]] = status.get("containerStatuses") or []
    return statuses[0] if statuses else {}


def _index(metadata: Dict) -> int:
    text = (metadata.get("annotations") or {}).get(INDEX) or (metadata.get("labels") or {}).get(INDEX) or "0"
    return int(text) if text.isdigit() else 0


def _waiting(container: Dict, status: Dict) -> tuple[str | None, str]:
    """Why it does not start: the container's reason, else the scheduler's."""
    waiting = (container.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") and waiting["reason"] not in NORMAL_WAITS:
        return waiting["reason"], waiting.get("message", "")
    unscheduled = _condition(status, "PodScheduled", "False")
    return (unscheduled.get("reason"), unscheduled.get("message", "")) if unscheduled else (None, "")


def _finished_at(status: Dict) -> datetime | None:
    """The latest end of any of its containers."""
    every = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    states = ((each.get("state") or {}).get("terminated") or {} for each in every)
    return max((time for state in states if (time := _time(state.get("finishedAt")))), default=None)


def _terminal_at(metadata: Dict, status: Dict) -> datetime | None:
    """When a terminal pod became so: never before its newest condition, nor before the newest write of its status.

    A pod whose containers never started has no `finishedAt`; `Ready` has been False all along then, so that conditions alone
    may say nothing. The time of the last status write bounds the end from above.
    """
    conditions = (condition.get("lastTransitionTime") for condition in status.get("conditions") or ())
    writes = (entry.get("time") for entry in metadata.get("managedFields") or () if entry.get("subresource") == "status")
    return _latest((*conditions, *writes))


def _latest(texts: Iterable[str | None]) -> datetime | None:
    return max((time for text in texts if (time := _time(text))), default=None)


def _condition(status: Dict, kind: str, value: str) -> Dict | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == kind and condition.get("status") == value:
            return condition  # type: ignore[no-any-return]
    return None


def _is_true(status: Dict, kind: str) -> bool:
    return _condition(status, kind, "True") is not None


def _transition(status: Dict, kind: str, value: str) -> datetime | None:
    condition = _condition(status, kind, value)
    return _time(condition.get("lastTransitionTime")) if condition else None


def _time(text: str | None) -> datetime | None:
    return parse_time(text) if text else None
