"""Local PersistentVolumes: directories of this machine that pods claim."""

from pathlib import Path
from typing import Any

from farthing.local.cluster import LocalCluster

STORAGE_CLASS = "farthing-local"


def storage_class() -> dict[str, Any]:
    """Bound when a pod that uses the claim is scheduled; nobody provisions, so volumes are made beforehand."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def local_volume(cluster: LocalCluster, name: str, path: Path, size: str) -> None:
    """Make a PersistentVolume of a directory on the node, created if it is missing; `size` is a Kubernetes quantity.

    It can be mounted by several pods at once, and what is in it outlives claim, volume and cluster. One that lost its claim
    can be claimed again.
    """
    path.mkdir(parents=True, exist_ok=True)
    on_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [cluster.node_name]}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": size},
                "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
                "storageClassName": STORAGE_CLASS,
                "persistentVolumeReclaimPolicy": "Retain",
                "local": {"path": str(path.absolute())},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_node]}]}},
            },
        }
    )
    if cluster.get("persistentvolume", name).get("status", {}).get("phase") == "Released":
        cluster.kubectl("patch", "persistentvolume", name, "--type=json", "-p", '[{"op": "remove", "path": "/spec/claimRef"}]')
