"""An operator's watch caches, and how they go wrong: a watch that hangs, an event that is lost, an old one told again.

Every kind has a watch of its own, as in a real cluster: one may be behind while the others are not, and none is ever ahead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from farthing.api import BudgetedTrainingJob, GPUNodePool, SpendRecord, TrainingBudget
from farthing.domain.snapshot import JobFacts, PodFacts
from farthing.simulator.cluster import Cluster, Node

Kind = Literal["jobs", "accounts", "records", "pools", "nodes", "batch", "pods", "children"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Objects = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the caches hold: objects by the keys of `Cluster`, batch Jobs and pods by namespace/attempt."""

    jobs: Mapping[str, BudgetedTrainingJob]
    accounts: Mapping[str, TrainingBudget]
    records: Mapping[str, SpendRecord]
    pools: Mapping[str, GPUNodePool]
    nodes: Mapping[str, Node]
    batch: Mapping[str, JobFacts]
    pods: Mapping[str, tuple[PodFacts, ...]]
    children: Mapping[str, bool]
    """Paths of `Cluster.children` that exist."""


class Watches:
    """The caches of one operator, filled before it does anything. Without faults every look shows the truth."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._shown: dict[Kind, Objects] = {kind: _truth(cluster, kind) for kind in KINDS}
        self._before = self._shown
        self._hung: set[Kind] = set()
        self._deaf: dict[tuple[Kind, str], Any] = {}
        """Objects whose newest event was lost, with what it would have told."""
        self._repeated: set[tuple[Kind, str]] = set()

    @property
    def up_to_date(self) -> bool:
        """Whether the next look shows nothing but the truth."""
        return not (self._hung or self._deaf or self._repeated)

    def look(self) -> Seen:
        """What the caches hold now."""
        self._before, self._shown = self._shown, {kind: self._look(kind) for kind in KINDS}
        self._repeated.clear()
        return Seen(**self._shown)

    def hang(self, *kinds: Kind) -> None:
        """These watches tell nothing more until the next list."""
        self._hung |= set(kinds)

    def lose(self, kind: Kind, key: str) -> None:
        """The newest event of this object never arrives; its next one does."""
        self._deaf[kind, key] = _truth(self._cluster, kind).get(key)

    def repeat(self, kind: Kind, key: str) -> None:
        """An old event of this object is told once more: the next look shows it as the look before the last one did."""
        self._repeated.add((kind, key))

    def relist(self) -> None:
        """Every watch starts anew with a list of what there is."""
        self._hung.clear()
        self._deaf.clear()
        self._repeated.clear()

    def _look(self, kind: Kind) -> Objects:
        if kind in self._hung:
            return self._shown[kind]
        truth = _truth(self._cluster, kind)
        self._deaf = {at: told for at, told in self._deaf.items() if at[0] != kind or truth.get(at[1]) == told}
        heard = {key: item for key, item in truth.items() if (kind, key) not in self._deaf}
        missed = [key for each, key in self._deaf if each == kind]
        repeated = [key for each, key in self._repeated if each == kind]
        old = _among(self._shown[kind], missed) | _among(self._before[kind], repeated)
        return {**heard, **old}


def _among(objects: Objects, keys: list[str]) -> dict[str, Any]:
    return {key: objects[key] for key in keys if key in objects}


def _truth(cluster: Cluster, kind: Kind) -> Objects:
    """What the API server would list."""
    if kind == "batch":
        return {key: gang.job for key, gang in cluster.gangs.items() if gang.job is not None}
    if kind == "pods":
        return {key: tuple(gang.pods) for key, gang in cluster.gangs.items()}
    if kind == "children":
        return dict.fromkeys(cluster.children, True)
    return dict(getattr(cluster, kind))
