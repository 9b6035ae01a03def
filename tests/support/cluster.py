"""Clusters for tests. `tests/conftest.py` imports the fixtures; each stands for a whole session."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import machine

from farthing.local import processes
from farthing.local.cluster import LocalCluster
from farthing.local.down import down
from farthing.local.up import up

STATES = Path("/var/tmp")


@pytest.fixture(scope="session")
def control_plane() -> Iterator[LocalCluster]:
    """etcd, API server, controller-manager, scheduler and kwok, with native gangs; no node, no root."""
    with_state = new_state("controller")
    try:
        yield up("ControlPlane", with_state, progress=print)
    finally:
        down(with_state, progress=print)


@pytest.fixture(scope="session")
def control_plane_without_gangs() -> Iterator[LocalCluster]:
    """The same on the other rung: the API server serves no PodGroup."""
    with_state = new_state("plain")
    try:
        yield up("ControlPlane", with_state, native_gangs=False, progress=print)
    finally:
        down(with_state, progress=print)


@pytest.fixture(scope="session")
def control_plane_of_tenants() -> Iterator[LocalCluster]:
    """One apart for tests with an operator that works all the while: it touches what it finds, and other tests write bills."""
    with_state = new_state("tenants")
    try:
        yield up("ControlPlane", with_state, progress=print)
    finally:
        down(with_state, progress=print)


@pytest.fixture(scope="session")
def machine_before() -> machine.Machine:
    """The machine before the tier's cluster was there."""
    return machine.look()


@pytest.fixture(scope="session")
def cluster(machine_before: machine.Machine) -> Iterator[LocalCluster]:
    """The whole cluster, one for the tier. Its end is a test too: after `kill -9` of every component, with whatever pods
    still run, `down` must leave the machine as it was."""
    with_state = new_state("e2e")
    try:
        made = up("Cluster", with_state, progress=print)
        yield made
        kill_everything(made)
    finally:
        down(with_state, progress=print)
    if left := machine_before.difference(machine.look()):
        pytest.fail(f"`down` left the machine different: {left}")


def kill_everything(made: LocalCluster) -> None:
    """`kill -9` of every component; containers and their shims run on."""
    for name in processes.names(made.paths):
        processes.stop(made.paths, name, sig=signal.SIGKILL)


def new_state(kind: str) -> Path:
    """A state directory of this process's own. What sessions that died left behind is taken down first."""
    for leftover in STATES.glob(f"farthing-{kind}-*"):
        owner = re.search(r"\d+$", leftover.name)
        if owner and not Path(f"/proc/{owner[0]}").exists():
            down(leftover, progress=print)
    return STATES / f"farthing-{kind}-{os.getpid()}"
