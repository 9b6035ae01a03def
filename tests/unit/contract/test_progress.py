"""A pod may run any image: a report that says more than a status can hold is no report."""

import json
from typing import Any

import pytest
from tests.unit.kube.pods import LAST_WORD

from farthing.kube.facts import parse_last_word

GOOD = json.loads(LAST_WORD)
CHECKPOINT = {
    "step": 1, "tokens": 1, "uri": "u", "digest": "d", "time": "2026-11-24T10:00:03Z", "seconds": 1, "bytes": 1,
}  # fmt: skip


def said(**members: Any) -> str:
    return json.dumps({**GOOD, "progress": {**GOOD["progress"], **members}})


def test_what_the_trainer_says_is_read() -> None:
    assert parse_last_word(said(checkpoint=CHECKPOINT)) is not None


@pytest.mark.parametrize(
    "members",
    [
        {"started": "yesterday"},
        {"started": "9999-12-31T23:59:59-05:00"},
        {"step": -1},
        {"tokens": 10**30},
        {"tokensProcessed": -5},
        {"flops": -1.0},
        {"flops": float("nan")},
        {"flops": float("inf")},
        {"flops": 1e40},
        {"etaSeconds": float("inf")},
        {"tokensPerSecond": float("inf")},
        {"seconds": {"startup": 1e12}},
        {"preparedDigest": "d" * 129},
        {"checkpoint": {**CHECKPOINT, "time": "t"}},
        {"checkpoint": {**CHECKPOINT, "digest": "d" * 129}},
        {"checkpoint": {**CHECKPOINT, "uri": "u" * 1025}},
        {"checkpoint": {**CHECKPOINT, "tokens": -1}},
        {"answer": {"id": "i" * 65, "state": "Acknowledged"}},
        {"answer": {"id": "i", "state": "Acknowledged", "digest": "d" * 129}},
    ],
    ids=str,
)
def test_what_no_status_can_hold_is_none(members: dict[str, Any]) -> None:
    assert parse_last_word(said(**members)) is None
