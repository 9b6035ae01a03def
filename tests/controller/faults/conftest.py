"""Rooms for lives under fault: several side by side on one control plane, since a life is mostly waiting."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

import pytest
from tests.controller.faults.life import PRIORITY_CLASS
from tests.controller.faults.room import Room
from tests.support.forkserver import fork_server

from farthing.kube.client import Client
from farthing.local.cluster import LocalCluster

ROOMS = 3
Case = TypeVar("Case")
Result = TypeVar("Result")


class Rooms:
    """Free rooms, and a way to live many lives in them."""

    def __init__(self, rooms: list[Room]) -> None:
        self.all = rooms
        self._free: asyncio.Queue[Room] = asyncio.Queue()
        for room in rooms:
            self._free.put_nowait(room)

    async def each(self, cases: Iterable[Case], live: Callable[[Room, Case], Awaitable[Result]]) -> list[Result]:
        """One life a case, as many at a time as there are rooms. The first that fails ends all, and says which it was."""

        async def one(case: Case) -> Result:
            room = await self._free.get()
            try:
                return await live(room, case)
            except BaseException as error:
                error.add_note(f"in the life with {case}")
                raise
            finally:
                self._free.put_nowait(room)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(case)) for case in cases]
        return [task.result() for task in tasks]


@pytest.fixture
async def rooms(furnished: LocalCluster, client: Client, tmp_path) -> AsyncIterator[Rooms]:
    """Furnished rooms, and a fork server for their operators."""
    priority = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": PRIORITY_CLASS},
        "value": 1000,
    }
    furnished.apply(priority)
    async with fork_server() as forks:
        made = [await Room.furnish(furnished, client, forks, tmp_path, number) for number in range(ROOMS)]
        yield Rooms(made)
        for room in made:
            await room.clear()
    furnished.kubectl("delete", "priorityclass", PRIORITY_CLASS)
