"""An image that nobody has: ended by `startupTimeout`, billed as waste, and the job says so."""

from fractions import Fraction

import pytest

from farthing.api.conditions import ConditionType, Reason, find

pytestmark = pytest.mark.e2e

TIMEOUT_SECONDS = 15
MONEY = "0.02"
REASONS = ("ErrImagePull", "ImagePullBackOff")
"""The kubelet's, by turns."""


def test_an_image_that_cannot_be_pulled_is_ended_by_the_startup_timeout(scene):
    image = f"{scene.cluster.registry}/farthing/nobody-has-this:1"
    compute = {"accelerators": {"min": 1, "max": 1}, "startupTimeout": f"{TIMEOUT_SECONDS}s"}
    name = scene.submit("imageless", MONEY, compute=compute, backoffLimit=0, template={"image": image})
    closed = scene.close(name)

    [record] = closed.records
    status, seconds = record["status"], closed.bills[record["spec"]["attempt"]].seconds
    assert status["outcome"] == "PodsReadyTimeout"
    assert status["message"].startswith(f"not every pod was ready within {TIMEOUT_SECONDS} s")
    assert any(reason in status["message"] for reason in REASONS)
    assert seconds >= TIMEOUT_SECONDS - 1
    assert Fraction(status["waste"]["startup"]) == seconds
    assert 0 < Fraction(status["charged"]["cost"]) <= Fraction(MONEY)
    failed = find(closed.job.status.conditions, ConditionType.FAILED)
    assert failed is not None
    assert failed.reason == Reason.BACKOFF_LIMIT_EXCEEDED
    assert any(reason in failed.message for reason in REASONS), "whoever reads the condition knows what to mend"
    [ended] = [each for each in closed.job.status.decisions if each.reason == Reason.PODS_READY_TIMEOUT]
    assert any(reason in ended.message for reason in REASONS)
