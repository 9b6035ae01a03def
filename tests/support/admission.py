"""Asking a real API server: what it says to a manifest or a patch, as whom, and what it would allow."""

import json

from tests.support.manifests import Manifest

from farthing.errors import LocalClusterError
from farthing.local.cluster import LocalCluster

NAMESPACE = "admission"
SYSTEM = "farthing-system"

User = str | tuple[str, str]
"""A user's name, or the name and a group."""

OPERATOR: User = f"system:serviceaccount:{SYSTEM}:farthing"
JOB_CONTROLLER: User = ("system:serviceaccount:kube-system:job-controller", "system:serviceaccounts:kube-system")


def created(cluster: LocalCluster, manifest: Manifest, *, user: User = "", dry: bool = True) -> str:
    """What the API server says to a new object: kubectl's output, or its error."""
    options = ["--dry-run=server"] if dry else []
    return _said(cluster, "create", "-f", "-", *options, *_identity(user), text=json.dumps(manifest))


def applied(cluster: LocalCluster, manifest: Manifest, *, user: User = "") -> str:
    """What the API server would say to `kubectl apply`."""
    return _said(cluster, "apply", "-f", "-", "--dry-run=server", *_identity(user), text=json.dumps(manifest))


def patched(cluster: LocalCluster, manifest: Manifest, patch: Manifest, *, user: User = "", dry: bool = False) -> str:
    """What the API server says to a merge patch; one that holds `status` goes to the status subresource."""
    metadata = manifest["metadata"]
    options = ["-n", metadata["namespace"]] if "namespace" in metadata else []
    options += ["--subresource=status"] if "status" in patch else []
    options += ["--dry-run=server"] if dry else []
    target = [manifest["kind"].lower(), metadata["name"], *options, *_identity(user)]
    return _said(cluster, "patch", *target, "--type=merge", "-p", json.dumps(patch))


def allowed(cluster: LocalCluster, user: str, verb: str, resource: str) -> bool:
    """Whether RBAC lets a user do this in the namespace, to a resource of farthing.dev, `name/status` for its status."""
    plural, _, subresource = resource.partition("/")
    attributes = {"namespace": NAMESPACE, "verb": verb, "group": "farthing.dev", "resource": plural, "subresource": subresource}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    answer = json.loads(cluster.kubectl("create", "-f", "-", "-o", "json", text=json.dumps(review)))
    return bool(answer["status"]["allowed"])


def role(name: str, group: str, resources: list[str], verbs: list[str]) -> Manifest:
    """A ClusterRole of one rule."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [{"apiGroups": [group], "resources": resources, "verbs": verbs}],
    }


def binding(role_name: str, user: str) -> Manifest:
    """A user's binding to a ClusterRole, in the namespace."""
    name = f"{user.rpartition(':')[2]}-{role_name}"
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role_name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


def _said(cluster: LocalCluster, *arguments: str, text: str | None = None) -> str:
    try:
        return cluster.kubectl(*arguments, text=text)
    except LocalClusterError as error:
        return str(error)


def _identity(user: User) -> list[str]:
    if isinstance(user, tuple):
        return [f"--as={user[0]}", f"--as-group={user[1]}"]
    return [f"--as={user}"] if user else []
