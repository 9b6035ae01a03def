from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ledger.builders import after, attempt, checkpoint, job, pod, progress, record, running, unbound
from tests.unit.ledger.test_evidence import any_attempt

from farthing.contract.handshake import CheckpointAnswer
from farthing.contract.progress import LastWord
from farthing.domain.outcome import Outcome
from farthing.domain.snapshot import Attempt
from farthing.ledger.outcome import classify

DURABLE = progress(100, checkpoint=checkpoint(100, 100_000))
NOT_DURABLE = progress(100, checkpoint=checkpoint(80, 80_000))
DEADLINE = job(failed=True, failed_reason="DeadlineExceeded", finished_at=after(70))
GONE_143 = {"exit_code": 143, "deleted_at": after(100)}
NO_CONTAINER = {"finished_at": None, "exit_code": 137, "container_reason": "ContainerStatusUnknown", "terminal_at": after(70)}
NO_IMAGE = {**NO_CONTAINER, "waiting_reason": "ErrImagePull"}
LEASE_OVER = LastWord(exit_code=143, reason="LeaseEnded", message="the lease ended at step 100")
PREPARING = record(stage="Prepare")


def ended(*pods: Any, **facts: Any) -> Attempt:
    return attempt(*pods, **facts)


CASES: list[tuple[str, Attempt, dict[str, Any], Outcome, int | None]] = [
    ("index 0 finished, the other was told to go", ended(pod(0), pod(1, **GONE_143)), {}, Outcome.LANDED, 0),
    ("the prepare stage finished", ended(pod(0), record=PREPARING), {}, Outcome.PREPARED, 0),
    ("only the Job is left, complete", ended(job=job(complete=True)), {}, Outcome.LANDED, 0),
    ("landed, then deleted", ended(pod(0), pod(1)), {"deleted": True}, Outcome.LANDED, 0),
    ("never bound", ended(unbound(0), unbound(1), job=DEADLINE), {}, Outcome.NEVER_STARTED, None),
    ("no Job was ever made", ended(job=None), {}, Outcome.NEVER_STARTED, None),
    ("deleted before it was bound", ended(unbound(0)), {"deleted": True}, Outcome.NEVER_STARTED, None),
    ("deleted", ended(pod(0, **GONE_143), pod(1, **GONE_143), job=None), {"deleted": True}, Outcome.DELETED, 143),
    ("bad config", ended(pod(0, exit_code=64), pod(1, **GONE_143)), {}, Outcome.BAD_CONFIG, 64),
    ("76", ended(pod(0, exit_code=75), pod(1, exit_code=76)), {}, Outcome.OUT_OF_MEMORY, 76),
    ("OOMKilled", ended(pod(0, exit_code=137, container_reason="OOMKilled"), pod(1)), {}, Outcome.OUT_OF_MEMORY, 76),
    ("OOM though a stop was acknowledged", ended(pod(0, exit_code=76)), {"acknowledged": True}, Outcome.OUT_OF_MEMORY, 76),
    ("a crash, its peers lost", ended(pod(0, exit_code=75), pod(1, exit_code=1)), {}, Outcome.FAILED, 1),
    ("255 of the program's own", ended(pod(0, exit_code=255, container_reason="Error")), {}, Outcome.FAILED, 255),
    (
        "torchrun's 1, the last word says 75",
        ended(pod(0, exit_code=1, last_word=LastWord(exit_code=75, reason="PeerLost")), pod(1, **GONE_143)),
        {},
        Outcome.DISRUPTED,
        75,
    ),
    ("asked, acknowledged", ended(pod(0, exit_code=143), pod(1, **GONE_143)), {"acknowledged": True}, Outcome.STOPPED, 143),
    (
        "acknowledged, then killed by deadline",
        ended(pod(0, exit_code=137), job=DEADLINE),
        {"acknowledged": True},
        Outcome.STOPPED,
        137,
    ),
    (
        "143, the newest manifest proves it",
        ended(pod(0, exit_code=143), pod(1, exit_code=143)),
        {"progress": DURABLE},
        Outcome.STOPPED,
        143,
    ),
    (
        "143 without proof",
        ended(pod(0, exit_code=143), pod(1, exit_code=143)),
        {"progress": NOT_DURABLE},
        Outcome.DISRUPTED,
        143,
    ),
    ("143 without a word", ended(pod(0, exit_code=143), pod(1, exit_code=143)), {}, Outcome.DISRUPTED, 143),
    ("75", ended(pod(0, exit_code=75), pod(1, **GONE_143)), {"progress": DURABLE}, Outcome.DISRUPTED, 75),
    (
        "the trainer's own end",
        ended(pod(0, exit_code=143, last_word=LEASE_OVER), pod(1)),
        {"progress": DURABLE},
        Outcome.LEASE_ENDED,
        143,
    ),
    (
        "the kubelet's deadline",
        ended(pod(0, exit_code=143, pod_reason="DeadlineExceeded")),
        {"progress": DURABLE},
        Outcome.LEASE_ENDED,
        143,
    ),
    (
        "the Job's deadline",
        ended(pod(0, exit_code=137), pod(1, exit_code=137), job=DEADLINE),
        {"progress": DURABLE},
        Outcome.LEASE_ENDED,
        137,
    ),
    ("the image never came", ended(pod(0, **NO_IMAGE), pod(1, **NO_IMAGE), job=DEADLINE), {}, Outcome.PODS_READY_TIMEOUT, None),
    ("half a gang, ended by the Job", ended(pod(0, **GONE_143), unbound(1), job=DEADLINE), {}, Outcome.PODS_READY_TIMEOUT, 143),
    ("half a gang, given up by itself", ended(pod(0, exit_code=75), unbound(1)), {}, Outcome.PODS_READY_TIMEOUT, 75),
    (
        "all containers ran, never trained",
        ended(pod(0, **GONE_143), pod(1, **GONE_143), job=DEADLINE),
        {},
        Outcome.PODS_READY_TIMEOUT,
        143,
    ),
    (
        "ended on purpose while it started",
        ended(
            pod(0, exit_code=143, finished_at=after(20)),
            pod(1, exit_code=75, finished_at=after(20)),
            job=job(failed_reason="DeadlineExceeded"),
        ),
        {},
        Outcome.LEASE_ENDED,
        143,
    ),
    (
        "the whole lease passed and no report is left",
        ended(pod(0, exit_code=137, finished_at=after(200)), pod(1, exit_code=137), job=job(failed_reason="DeadlineExceeded")),
        {},
        Outcome.LEASE_ENDED,
        137,
    ),
    (
        "a deadline, and nothing is left to time it",
        ended(running(0), running(1), job=job(started_at=None, failed_reason="DeadlineExceeded")),
        {},
        Outcome.LEASE_ENDED,
        None,
    ),
    (
        "drained without loss",
        ended(pod(0, exit_code=143, disrupted=True), pod(1, **GONE_143)),
        {"progress": DURABLE},
        Outcome.STOPPED,
        143,
    ),
    (
        "drained too fast",
        ended(pod(0, exit_code=137, disrupted=True), pod(1, **GONE_143)),
        {"progress": NOT_DURABLE},
        Outcome.DISRUPTED,
        137,
    ),
    ("drained during the import", ended(pod(0, exit_code=75, disrupted=True)), {}, Outcome.DISRUPTED, None),
    ("evicted", ended(pod(0, exit_code=137, pod_reason="Evicted")), {}, Outcome.DISRUPTED, 137),
    ("node lost and back", ended(pod(0, exit_code=255, container_reason="Unknown"), pod(1)), {}, Outcome.DISRUPTED, 255),
    ("255 without a reason", ended(pod(0, exit_code=255)), {}, Outcome.DISRUPTED, 255),
    (
        "node unreachable past the hard end",
        ended(running(0), running(1), unreachable_nodes=("n1",)),
        {},
        Outcome.DISRUPTED,
        None,
    ),
    ("killed from outside", ended(pod(0, **GONE_143), pod(1, exit_code=137)), {}, Outcome.FAILED, 137),
    ("grace exceeded after a delete", ended(pod(0, exit_code=137, deleted_at=after(99))), {}, Outcome.DISRUPTED, 137),
    ("evidence lost", ended(job=job(failed=True, failed_reason="BackoffLimitExceeded")), {}, Outcome.DISRUPTED, None),
    ("index 0's exit is unknown", ended(pod(1), progress=progress(), job=None), {}, Outcome.DISRUPTED, 0),
]


@pytest.mark.parametrize(("_what", "case", "given_", "outcome", "code"), CASES, ids=[case[0] for case in CASES])
def test_every_way_to_end(_what: str, case: Attempt, given_: dict[str, Any], outcome: Outcome, code: int | None) -> None:
    facts: dict[str, Any] = {"acknowledged": False, "deleted": False, "progress": None, **given_}
    result, message, exit_code = classify(case, **facts)
    assert (result, exit_code) == (outcome, code)
    assert message


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (CheckpointAnswer(id="a", state="Acknowledged", then="Stop", step=100), Outcome.STOPPED),
        (CheckpointAnswer(id="a", state="Acknowledged", then="Stop", step=90), Outcome.DISRUPTED),
        (CheckpointAnswer(id="a", state="Acknowledged", then="Continue", step=100), Outcome.DISRUPTED),
        (CheckpointAnswer(id="a", state="Failed", then="Stop", step=100), Outcome.DISRUPTED),
        (CheckpointAnswer(id="a", state="Acknowledged", then="Stop"), Outcome.DISRUPTED),
    ],
)
def test_the_last_word_may_carry_the_acknowledgement(answer: CheckpointAnswer, outcome: Outcome) -> None:
    told = progress(100, answer=answer)
    ended_so = attempt(pod(0, exit_code=143), pod(1, exit_code=143))
    assert classify(ended_so, acknowledged=False, deleted=False, progress=told)[0] is outcome


def test_a_last_word_speaks_for_itself() -> None:
    _, message, _ = classify(
        attempt(pod(0, exit_code=143, last_word=LEASE_OVER)), acknowledged=False, deleted=False, progress=DURABLE
    )
    assert message == "the lease ended at step 100"


def test_a_pod_that_waited_says_why() -> None:
    waiting = attempt(unbound(0, waiting_message="0/1 nodes are available"))
    assert "0/1 nodes" in classify(waiting, acknowledged=False, deleted=False, progress=None)[1]
    no_image = attempt(pod(0, **NO_IMAGE), pod(1, **NO_IMAGE), job=DEADLINE)
    assert (
        classify(no_image, acknowledged=False, deleted=False, progress=None)[1]
        == "not every pod was ready within 60 s: ErrImagePull"
    )


@given(any_attempt(), st.booleans(), st.booleans())
def test_classification_is_total(what: Attempt, acknowledged: bool, deleted: bool) -> None:
    outcome, message, _ = classify(what, acknowledged=acknowledged, deleted=deleted, progress=what.progress)
    assert outcome in Outcome
    assert message
