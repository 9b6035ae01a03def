"""The request to stop before an uninstall: to whom, until when, and what is said where nobody obeys."""

import pytest

from farthing.cli.drain import POLL_SECONDS, RENEWALS, drain
from farthing.contract.names import ANNOTATION_DRAIN


class Fake:
    """A cluster with one lease, whose holder renews every two polls and settles after some."""

    def __init__(self, holder="operator-a", settles_at=5.0, renews=True):
        self.time = 0.0
        self.holder = holder
        self.settles_at = settles_at
        self.renews = renews
        self.asked = []

    def find(self, resource, name, namespace=None):
        assert (name, namespace) == ("farthing-operator", "farthing-system")
        if self.holder is None:
            return None
        renewed = int(self.time // 2) if self.renews else 0
        return {"metadata": {}, "spec": {"holderIdentity": self.holder, "renewTime": renewed, "leaseDurationSeconds": 10}}

    def every(self, resource, namespace, selector=None):
        phase = "Settled" if self.time >= self.settles_at else "Open"
        return [{"spec": {"attempt": "tiny-0a1b2-1"}, "status": {"phase": phase}}]

    def patch(self, resource, item, change):
        self.asked.append(change["metadata"]["annotations"][ANNOTATION_DRAIN])

    def sleep(self, seconds):
        self.time += seconds

    def drain(self, seconds=60.0):
        return drain(self, "farthing-operator", "farthing-system", seconds, monotonic=lambda: self.time, sleep=self.sleep)


def test_it_waits_until_every_bill_is_closed():
    fake = Fake(settles_at=20.0)
    assert fake.drain() == "every attempt has stopped and is settled"
    assert fake.asked == ["operator-a"]
    assert fake.time >= 20.0


def test_an_empty_ledger_counts_only_after_the_operator_has_read_the_request():
    fake = Fake(settles_at=0.0)
    fake.drain()
    assert fake.time >= 2 * RENEWALS


@pytest.mark.parametrize("holder", [None, ""], ids=["no lease", "given back"])
def test_without_a_leader_nothing_is_waited_for(holder):
    fake = Fake(holder=holder)
    assert "no operator leads" in fake.drain()
    assert (fake.time, fake.asked) == (0.0, [])


def test_a_dead_leader_is_given_up_once_its_lease_is_over():
    fake = Fake(renews=False)
    assert "renews its lease no more" in fake.drain(seconds=600)
    assert 10 < fake.time < 13


def test_what_does_not_stop_is_named_when_the_time_is_up():
    fake = Fake(settles_at=1000.0)
    assert fake.drain(seconds=30) == "1 attempts not settled after 30 s: tiny-0a1b2-1"
    assert 30 < fake.time <= 30 + 2 * POLL_SECONDS


def test_a_new_leader_is_asked_too():
    fake = Fake(settles_at=40.0)
    sleep = fake.sleep

    def hand_over(seconds):
        sleep(seconds)
        if fake.time > 10:
            fake.holder = "operator-b"

    fake.sleep = hand_over
    assert fake.drain() == "every attempt has stopped and is settled"
    assert fake.asked == ["operator-a", "operator-b"]
