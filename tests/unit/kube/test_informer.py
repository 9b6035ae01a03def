"""Informers against a server that drops, delays and forgets: what the cache holds in the end is what the server has."""

import asyncio
import itertools

import pytest

from farthing.errors import Refused, Unreachable
from farthing.kube.cache import Cache
from farthing.kube.client import Gone
from farthing.kube.informer import LAST_DELAY_SECONDS, Informer, delay
from farthing.kube.resources import PODS


def pod(name, version):
    return {"metadata": {"name": name, "namespace": "team", "resourceVersion": str(version)}}


def event(kind, name, version):
    return {"type": kind, "object": pod(name, version)}


class Script:
    """A server of faults: each list and each watch goes as written; after the last one the watch stays silent."""

    def __init__(self, lists, watches):
        self.lists = iter(lists)
        self.watches = iter(watches)
        self.watched_from = []
        self.done = asyncio.Event()

    async def list_versioned(self, path, *, selector=None, metadata_only=False):
        answer = next(self.lists)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def watch(self, path, version, *, selector=None, metadata_only=False, seconds=0):
        self.watched_from.append(version)
        answer = next(self.watches, None)
        if answer is None:
            self.done.set()
            await asyncio.Event().wait()
        for each in answer:
            if isinstance(each, Exception):
                raise each
            yield each


async def play(monkeypatch, lists, watches):
    """Run an informer through the script; its cache, the changes it told and the versions it watched from."""
    monkeypatch.setattr("farthing.kube.informer.delay", lambda failures: 0.0)
    script, changes = Script(lists, watches), []
    informer = Informer(script, PODS, Cache(), lambda resource, key: changes.append(key))
    task = asyncio.create_task(informer.run())
    async with asyncio.timeout(10):
        await script.done.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return informer, changes, script.watched_from


async def test_an_ended_watch_resumes_where_it_was(monkeypatch):
    watches = [[event("ADDED", "b", 11), event("BOOKMARK", "", 15)], [event("DELETED", "a", 16)]]
    informer, changes, watched_from = await play(monkeypatch, [([pod("a", 5)], "10")], watches)
    assert watched_from == ["10", "15", "16"]
    assert changes == ["team/a", "team/b", "team/a"]
    assert [item["metadata"]["name"] for item in informer.cache] == ["b"]
    assert informer.version == 16
    assert informer.synced.is_set()


async def test_a_version_too_old_lists_again_and_finds_the_deletions(monkeypatch):
    lists = [([pod("a", 5), pod("b", 6)], "10"), ([pod("b", 6), pod("c", 20)], "30")]
    informer, changes, watched_from = await play(monkeypatch, lists, [[Gone("too old")]])
    assert watched_from == ["10", "30"]
    assert changes == ["team/a", "team/b", "team/a", "team/c"]
    assert len(informer.cache) == 2


@pytest.mark.parametrize("error", [Unreachable("down"), Refused("forbidden")])
async def test_failures_are_tried_again(monkeypatch, error):
    informer, _, watched_from = await play(monkeypatch, [error, error, ([], "10")], [[event("ADDED", "a", 11), error]])
    assert watched_from == ["10", "11"]
    assert len(informer.cache) == 1


async def test_age_counts_from_the_last_word(monkeypatch):
    clock = itertools.count(step=10.0)
    script = Script([([], "1")], [])
    informer = Informer(script, PODS, Cache(), lambda resource, key: None, monotonic=lambda: next(clock))
    assert informer.age == 10.0
    assert informer.age == 20.0
    task = asyncio.create_task(informer.run())
    async with asyncio.timeout(10):
        await script.done.wait()
    assert informer.age == 10.0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_lost_event_is_missed_no_longer_than_a_resync(monkeypatch):
    """Every look at the clock takes longer than the resync: each watch is followed by a list."""
    lists = [([pod("a", 5)], "10"), ([pod("b", 11)], "12"), ([pod("b", 11), pod("c", 13)], "14")]
    script = Script(lists, [[], []])
    clock = itertools.count(step=1000.0)
    informer = Informer(script, PODS, Cache(), lambda resource, key: None, resync=300.0, monotonic=lambda: next(clock))
    task = asyncio.create_task(informer.run())
    async with asyncio.timeout(10):
        await script.done.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert script.watched_from == ["10", "12", "14"]
    assert sorted(item["metadata"]["name"] for item in informer.cache) == ["b", "c"]


async def test_events_in_the_wrong_order(monkeypatch):
    watches = [[event("DELETED", "a", 13), event("MODIFIED", "a", 12), event("MODIFIED", "b", 15), event("MODIFIED", "b", 14)]]
    informer, _, watched_from = await play(monkeypatch, [([pod("a", 5), pod("b", 6)], "10")], watches)
    assert watched_from == ["10", "15"]
    assert [item["metadata"]["resourceVersion"] for item in informer.cache] == ["15"]


def test_delays_grow_to_a_bound():
    assert delay(1) <= 1.0
    assert LAST_DELAY_SECONDS / 2 <= delay(50) <= LAST_DELAY_SECONDS
