"""What can befall a watch: events that are lost, late, told twice or in the wrong order, and streams that break off."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Literal

import aiohttp

Mishap = Literal["dropped", "delayed", "duplicated", "reordered", "cut"]


class StreamCut(Exception):
    """The connection breaks here."""


@dataclass
class Streams:
    """Mishaps that befall a share of the events, by a seeded hand."""

    mishaps: tuple[Mishap, ...] = ()
    share: float = 0.0
    seed: int = 0
    longest_delay: float = 2.0
    befell: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    async def broken(self, events: AsyncIterator[bytes], healthy: bool = True) -> AsyncGenerator[bytes, None]:
        """The stream as the operator gets it; bookmarks and errors are left alone. Raises StreamCut."""
        held: bytes | None = None
        async for event in events:
            mishap = self._mishap(event) if healthy else None
            if mishap == "cut":
                raise StreamCut
            if mishap == "reordered" and held is None:
                held = event
                continue
            if mishap == "delayed":
                await asyncio.sleep(self._random.uniform(0, self.longest_delay))
            if mishap != "dropped":
                yield event
            if mishap == "duplicated":
                yield event
            if held is not None:
                yield held
                held = None

    def _mishap(self, event: bytes) -> Mishap | None:
        if not self.mishaps or self._random.random() >= self.share:
            return None
        if json.loads(event)["type"] in ("BOOKMARK", "ERROR"):
            return None
        mishap = self._random.choice(self.mishaps)
        self.befell[mishap] += 1
        return mishap


async def lines(stream: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """Lines of a stream however long they are."""
    rest = b""
    async for chunk in stream.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line
