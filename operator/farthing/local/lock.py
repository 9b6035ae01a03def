"""One `up` or `down` at a time in a state directory."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from farthing.local.paths import Paths


@contextmanager
def alone(paths: Paths) -> Iterator[None]:
    """Hold the state's lock; whoever comes second waits. The kernel frees it when the holder dies."""
    with (paths.state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
