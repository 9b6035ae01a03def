"""The ledger's bill and one made by other hands: `tests.support.bills` knows Kubernetes' timestamps and nothing of the ledger.

Raw pods and a raw Job go both ways: through `farthing.kube.facts` into a settlement, and into the fold that audits it.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.support.bills import audit_record
from tests.support.evidence import Evidence, Sighting
from tests.unit.ledger.builders import ENDS, NAME, T0, after, record

from farthing.api.spend import Quote, SpendRecordStatus
from farthing.contract.names import FINALIZER_LEDGER, LABEL_ATTEMPT
from farthing.domain.snapshot import Attempt
from farthing.kube.facts import job_facts, pod_facts
from farthing.ledger.settle import settlement
from farthing.units import format_time

LATEST = ENDS.hard + 60
SECONDS = st.integers(0, LATEST)
PRICES = st.decimals("0", "9", places=4).map(str)
MOVED_PRICES = st.lists(st.tuples(SECONDS, PRICES), max_size=4).map(sorted)


def at(seconds: int) -> str:
    return format_time(after(seconds))


def conditions(**times: int) -> list[dict[str, Any]]:
    return [{"type": kind, "status": "True", "lastTransitionTime": at(second)} for kind, second in times.items()]


def raw_pod(index: int, *, bound: int | None, started: bool, lasted: int, lost: bool) -> dict[str, Any]:
    """A terminal pod: never bound, bound but never started, or run for so many seconds; lost with its node or not."""
    status: dict[str, Any] = {"phase": "Failed"}
    if bound is not None:
        status |= {"conditions": conditions(PodScheduled=bound), "startTime": at(bound + 1)}
        written = bound + lasted
        if started:
            reason = {"exitCode": 255, "reason": "Unknown"} if lost else {"exitCode": 143, "reason": "Error"}
            ended = {"terminated": {"finishedAt": at(bound + lasted), **reason}}
            status["containerStatuses"] = [{"name": "trainer", "state": ended}]
    else:
        written = lasted
    metadata = {
        "name": f"{NAME}-{index}",
        "uid": f"p{index}",
        "labels": {LABEL_ATTEMPT: NAME, "batch.kubernetes.io/job-completion-index": str(index)},
        "finalizers": [FINALIZER_LEDGER],
        "creationTimestamp": at(0),
        "resourceVersion": "1",
        "managedFields": [{"time": at(written), "subresource": "status"}],
    }
    return {"metadata": metadata, "spec": {"nodeName": "n1"}, "status": status}


def raw_job(ended: int) -> dict[str, Any]:
    return {
        "metadata": {
            "name": NAME, "uid": "j1", "labels": {LABEL_ATTEMPT: NAME}, "creationTimestamp": at(0), "resourceVersion": "1",
        },
        "spec": {},
        "status": {"startTime": at(0), "conditions": conditions(Failed=ended)},
    }  # fmt: skip


PODS = st.builds(
    raw_pod,
    index=st.just(0),
    bound=st.none() | st.integers(0, 30),
    started=st.booleans(),
    lasted=SECONDS,
    lost=st.booleans(),
)


@given(pods=st.lists(PODS, max_size=2), ended=SECONDS, job_left=st.booleans(), price=PRICES, moves=MOVED_PRICES)
def test_both_agree_on_any_evidence_and_any_prices(
    pods: list[dict[str, Any]], ended: int, job_left: bool, price: str, moves: list[tuple[int, str]]
) -> None:
    for index, pod in enumerate(pods):
        pod["metadata"] |= {"name": f"{NAME}-{index}", "uid": f"p{index}"}
    job = raw_job(ended)
    quotes = [Quote(from_time=at(second), per_accelerator_hour=each, currency="USD") for second, each in moves]
    opened = record(price=price, status=SpendRecordStatus(quotes=quotes))
    attempt = Attempt(opened, job_facts(job) if job_left else None, tuple(map(pod_facts, pods)))
    settled_at = after(2 * LATEST + 60)

    status = settlement(attempt, now=settled_at, acknowledged=False, deleted=False)

    gone_at = None if job_left else T0 + timedelta(seconds=1)
    evidence = Evidence(kubeconfig=None, namespace="team")  # type: ignore[arg-type]
    evidence.pods = {pod["metadata"]["uid"]: Sighting([pod]) for pod in pods}
    evidence.jobs = {"j1": Sighting([job], gone_at)}
    bill = audit_record(evidence, {"spec": opened.spec.to_dict(), "status": status.to_dict()})
    assert bill.overrun >= 0
    assert bill.start.tzinfo is UTC
    assert isinstance(bill.end, datetime)
