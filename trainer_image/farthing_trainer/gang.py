"""All processes of an attempt as one: joining, and the few collectives that the run makes beside those of the model."""

import logging
import os
import socket
import time
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, init_process_group  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from farthing.contract.exit_codes import ExitCode
from farthing_trainer.errors import Leave
from farthing_trainer.place import Place

COLLECTIVE_TIMEOUT = timedelta(minutes=10)
"""A lost peer closes its connection and is seen at once; this only bounds one that hangs."""
_RETRY_SECONDS = 0.5

T = TypeVar("T")
log = logging.getLogger(__name__)


class Gang:
    """The process group, or nothing in a world of one. Every method is called by all ranks alike."""

    def __init__(self, place: Place, device: torch.device) -> None:
        self.place = place
        self.rank = place.rank
        self.world = place.world
        self.device = device

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def sum(self, values: list[float]) -> list[float]:
        """Element-wise sum over all ranks, in float64."""
        if self.world == 1:
            return values
        packed = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(packed)
        return [float(value) for value in packed.tolist()]

    def gather(self, item: T) -> list[T]:
        """One small item from every rank, in the order of the ranks."""
        if self.world == 1:
            return [item]
        items: list[Any] = [None] * self.world
        dist.all_gather_object(items, item)
        return items

    def from_first(self, item: T | None) -> T:
        """Rank 0's item, on every rank; what the others pass is ignored."""
        items: list[Any] = [item]
        if self.world > 1:
            dist.broadcast_object_list(items, src=0)
        return items[0]  # type: ignore[no-any-return]

    def leave(self) -> None:
        """Wait for all and close the group."""
        if self.world > 1:
            dist.barrier()
            dist.destroy_process_group()


def choose_device(place: Place) -> torch.device:
    """This rank's accelerator where there is one, else the CPU with one thread: two spinning threads are many times slower."""
    if torch.cuda.is_available():
        device = torch.device("cuda", place.local_rank)
        torch.cuda.set_device(device)
        return device
    torch.set_num_threads(1)
    return torch.device("cpu")


def join_gang(place: Place, startup_seconds: float) -> Gang:
    """Meet all peers within what is left of `startup_seconds`. Raises Leave (75) where the gang does not come together."""
    device = choose_device(place)
    if place.world > 1:
        deadline = time.monotonic() + max(1.0, startup_seconds - place.started.elapsed())
        _wait_for_name(place.master_address, deadline)
        try:
            _meet(place, device, deadline)
        except RuntimeError as error:
            raise Leave(ExitCode.TRY_AGAIN, "PeerLost", f"the gang did not come together: {error}") from error
    return Gang(place, device)


def _wait_for_name(name: str, deadline: float) -> None:
    """Rank 0's name resolves only once its pod has an address: ask again until the deadline."""
    while True:
        try:
            socket.getaddrinfo(name, None)
        except socket.gaierror as error:
            if time.monotonic() > deadline:
                raise Leave(ExitCode.TRY_AGAIN, "PeerLost", f"{name} has no address: {error}") from error
            time.sleep(_RETRY_SECONDS)
        else:
            return


def _meet(place: Place, device: torch.device, deadline: float) -> None:
    os.environ.setdefault("MASTER_ADDR", place.master_address)
    left = timedelta(seconds=max(1.0, deadline - time.monotonic()))
    store, rank, world = next(rendezvous("env://", timeout=left))
    store.set(f"here/{rank}", "yes")
    store.wait([f"here/{peer}" for peer in range(world)], left)
    init_process_group(
        backend="nccl" if device.type == "cuda" else "gloo",
        store=PrefixStore("gang", store),
        rank=rank,
        world_size=world,
        timeout=COLLECTIVE_TIMEOUT,
    )
    log.info("%d processes are together", world)
