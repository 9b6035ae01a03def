"""Leadership on a real API server: one leader, a takeover after the whole lease, and no act after two thirds of it."""

import asyncio
from datetime import UTC, datetime

import pytest

from farthing.clock import FakeClock
from farthing.contract.names import ANNOTATION_DRAIN
from farthing.errors import Conflict, Refused
from farthing.kube.lease import Leadership
from farthing.kube.operator_key import KEY, SECRET, load_operator_key
from farthing.kube.resources import LEASES, SECRETS

pytestmark = pytest.mark.controller


class Machine:
    """A machine with clocks of its own: `time` is the monotonic one."""

    def __init__(self, client, namespace, name):
        self.time = 1000.0
        self.clock = FakeClock(datetime(2026, 11, 24, tzinfo=UTC))
        self.leadership = Leadership(
            client, namespace=namespace, name="lease", identity=name, clock=self.clock, duration=10, monotonic=lambda: self.time
        )


@pytest.fixture
def machines(client, namespace):
    return Machine(client, namespace, "a"), Machine(client, namespace, "b")


async def test_a_second_one_waits_for_the_whole_lease(machines):
    a, b = machines
    assert await a.leadership.try_once()
    assert not await b.leadership.try_once()
    b.time += 9.9
    assert not await b.leadership.try_once()
    b.time += 0.2
    assert await b.leadership.try_once()
    assert not await a.leadership.try_once()
    assert not a.leadership.leading


async def test_a_renewal_begins_the_wait_anew(machines):
    a, b = machines
    await a.leadership.try_once()
    await b.leadership.try_once()
    b.time += 9
    a.clock.advance(9)
    await a.leadership.try_once()
    assert not await b.leadership.try_once()
    b.time += 9
    assert not await b.leadership.try_once()


async def test_the_fence_falls_before_anybody_else_may_lead(machines):
    a, _ = machines
    with pytest.raises(Conflict):
        a.leadership.fence()
    await a.leadership.try_once()
    a.time += 6.6
    a.leadership.fence()
    a.time += 0.1
    with pytest.raises(Conflict, match="does not hold the lease"):
        a.leadership.fence()


async def test_a_lease_given_back_is_taken_at_once(machines, client, namespace):
    a, b = machines
    await a.leadership.try_once()
    await a.leadership.release()
    assert not a.leadership.leading
    assert await b.leadership.try_once()
    lease = await client.get(LEASES.path(namespace, "lease"))
    assert lease["spec"]["leaseTransitions"] == 1


async def test_of_two_that_try_at_once_one_leads(machines):
    answers = await asyncio.gather(*(each.leadership.try_once() for each in machines), return_exceptions=True)
    assert sum(answer is True for answer in answers) == 1
    assert all(answer in (True, False) or isinstance(answer, Conflict) for answer in answers)


async def test_the_operators_key_is_made_once(client, namespace):
    keys = await asyncio.gather(*(load_operator_key(client, namespace) for _ in range(4)))
    assert len({key.token("uid") for key in keys}) == 1
    assert keys[0].token("uid") != keys[0].token("other")
    await client.patch(SECRETS.path(namespace, SECRET), {"data": {KEY: "c2hvcnQ="}})
    with pytest.raises(Refused, match="no key of 32 bytes"):
        await load_operator_key(client, namespace)


async def test_a_request_to_drain_is_obeyed_by_the_holder_that_it_names_and_by_nobody_after_it(machines, client, namespace):
    a, b = machines
    await a.leadership.try_once()
    change = {"metadata": {"annotations": {ANNOTATION_DRAIN: "a"}}}
    await client.patch(LEASES.path(namespace, "lease"), change)
    assert not a.leadership.draining
    await a.leadership.try_once()
    assert a.leadership.draining
    a.clock.advance(2)
    await a.leadership.try_once()
    assert a.leadership.draining, "a renewal keeps what others wrote on the lease"
    await b.leadership.try_once()
    b.time += 11
    assert await b.leadership.try_once()
    assert not b.leadership.draining
