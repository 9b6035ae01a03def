"""What one attempt is made of in the cluster: a port of its own, since both the engine (builds) and kube (writes) speak it."""

from collections.abc import Sequence
from typing import Any, Protocol


class AttemptManifests(Protocol):
    """The children of one attempt as plain Kubernetes objects, built purely by `engine.manifests`."""

    @property
    def record(self) -> dict[str, Any]:
        """The SpendRecord."""
        ...

    @property
    def children(self) -> Sequence[dict[str, Any]]:
        """ConfigMap, Service, NetworkPolicy, and PodGroup where native gangs are served."""
        ...

    @property
    def secret(self) -> dict[str, Any]:
        """The Secret with an empty token: the adapter that holds the operator's key fills it in."""
        ...

    @property
    def job(self) -> dict[str, Any]:
        """The Indexed batch/v1 Job."""
        ...
