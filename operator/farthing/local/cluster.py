"""A running local cluster, as tests, demo and command line use it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farthing.local.paths import Paths
from farthing.local.shell import run
from farthing.local.state import ClusterState, Profile


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """Where to find a cluster and how to speak to it. `binaries` are the built programs by module name."""

    paths: Paths
    decisions: ClusterState
    binaries: Mapping[str, Path]

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.paths.state

    @property
    def profile(self) -> Profile:
        """Cluster or ControlPlane."""
        return self.decisions.profile

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, readable by whoever ran `farthing up`, through sudo too."""
        return self.paths.state / "kubeconfig"

    @property
    def registry(self) -> str:
        """host:port of the image registry, as image references spell it."""
        return self.decisions.registry

    @property
    def node_name(self) -> str:
        """The one real node's name."""
        return self.decisions.node_name

    @property
    def rate_file(self) -> Path:
        """What one CPU slot was measured to do (`rate.CpuRate` as JSON); Cluster profile only."""
        return self.paths.state / "rate.json"

    @property
    def helm_home(self) -> Path:
        """Helm's caches and settings, apart from the user's own."""
        return self.paths.state / "helm"

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """Run kubectl as administrator and return its output; `text` is its standard input (`apply -f -`).

        Raises LocalClusterError with kubectl's own words when it fails.
        """
        return run([self.binaries["server"], "kubectl", f"--kubeconfig={self.kubeconfig}", *arguments], text=text)

    def helm(self, *arguments: str) -> str:
        """Run Helm as administrator and return its output; its caches stay in the state directory."""
        homes = {f"HELM_{kind}_HOME": str(self.helm_home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        return run([self.binaries["helm"], f"--kubeconfig={self.kubeconfig}", *arguments], environment=homes)

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Create or update objects."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "-f", "-", text=json.dumps(items))

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get … -o json`, parsed."""
        parsed: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return parsed

    def patch_node_status(self, node: str, status: Mapping[str, Any]) -> None:
        """Merge into a node's status; kubelet keeps extended resources that stand there."""
        self.kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
