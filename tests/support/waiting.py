"""Waiting for a condition of something outside this process: it cannot tell us, so it is asked again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


async def until(look: Callable[[], Awaitable[Any]], what: str, seconds: float = 60) -> Any:
    """The first true answer of `look`; AssertionError that names `what` when there is none in time."""
    try:
        async with asyncio.timeout(seconds):
            while not (seen := await look()):  # noqa: ASYNC110 - the API server rings no bell here
                await asyncio.sleep(0.05)
            return seen
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what}") from None
