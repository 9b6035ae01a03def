"""Where each kind lives in the API: group, version, plural and scope, spelled once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from farthing.api import GROUP, VERSION


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of the API; `group` is empty for the core."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As `apiVersion` spells it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """Path of the group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Path of an object, of a namespace's collection or of the whole cluster's."""
        parts = [self.root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        return "/".join([*parts, *(part for part in (name, subresource) if part)])

    def of(self, manifest: Mapping[str, Any], subresource: str | None = None) -> str:
        """Path of the object that a manifest describes."""
        metadata = manifest["metadata"]
        return self.path(metadata.get("namespace"), metadata["name"], subresource)


TRAINING_JOBS: Final = Resource(GROUP, VERSION, "budgetedtrainingjobs", "BudgetedTrainingJob")
POOLS: Final = Resource(GROUP, VERSION, "gpunodepools", "GPUNodePool", namespaced=False)
ACCOUNTS: Final = Resource(GROUP, VERSION, "trainingbudgets", "TrainingBudget")
RECORDS: Final = Resource(GROUP, VERSION, "spendrecords", "SpendRecord")
JOBS: Final = Resource("batch", "v1", "jobs", "Job")
PODS: Final = Resource("", "v1", "pods", "Pod")
NODES: Final = Resource("", "v1", "nodes", "Node", namespaced=False)
NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
CLAIMS: Final = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
PRIORITY_CLASSES: Final = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
STORAGE_CLASSES: Final = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False)
POD_GROUPS: Final = Resource("scheduling.k8s.io", "v1beta1", "podgroups", "PodGroup")
CONFIG_MAPS: Final = Resource("", "v1", "configmaps", "ConfigMap")
SERVICES: Final = Resource("", "v1", "services", "Service")
SECRETS: Final = Resource("", "v1", "secrets", "Secret")
NETWORK_POLICIES: Final = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
EVENTS: Final = Resource("", "v1", "events", "Event")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")

_BY_KIND: Final = {
    (resource.api_version, resource.kind): resource
    for resource in (
        TRAINING_JOBS, POOLS, ACCOUNTS, RECORDS, JOBS, PODS, NODES, NAMESPACES, CLAIMS, PRIORITY_CLASSES, STORAGE_CLASSES,
        POD_GROUPS, CONFIG_MAPS, SERVICES, SECRETS, NETWORK_POLICIES, EVENTS, LEASES,
    )
}  # fmt: skip


def resource_of(manifest: Mapping[str, Any]) -> Resource:
    """The resource of a manifest's apiVersion and kind. Raises ValueError for one that Farthing never writes."""
    key = (manifest["apiVersion"], manifest["kind"])
    if key not in _BY_KIND:
        raise ValueError(f"{key[0]} {key[1]} is none of the kinds that Farthing writes; add it to kube/resources.py")
    return _BY_KIND[key]
