"""The operator on the cluster, by its chart and nothing else; the demo's namespace and its pool."""

from pathlib import Path
from typing import Any

import yaml

from farthing.api import GPUNodePool
from farthing.api.pool import RateSpec
from farthing.cli.demo.setting import NAMESPACE, RELEASE, SYSTEM_NAMESPACE, Setting
from farthing.local.cluster import LocalCluster
from farthing.local.rate import CpuRate, load_rate

INSTALL_TIMEOUT = "180s"
PULL = "pull-trainer"
PULL_SECONDS = 600


def install_operator(cluster: LocalCluster, setting: Setting, operator_image: str, trainer_image: str) -> None:
    """`helm upgrade --install`, waiting until the operator is ready. Raises LocalClusterError with Helm's own words."""
    values = {**_image("image", operator_image), **_image("trainerImage", trainer_image)}
    assignments = [word for name, value in values.items() for word in ("--set-string", f"{name}={value}")]
    cluster.helm(
        "upgrade", "--install", RELEASE, str(setting.chart), "--namespace", SYSTEM_NAMESPACE, "--create-namespace",
        "--wait", "--timeout", INSTALL_TIMEOUT, *assignments,
    )  # fmt: skip


def namespace() -> dict[str, Any]:
    """The namespace of the demo's jobs: Kubernetes itself refuses every pod there that is not restricted."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def pull(cluster: LocalCluster, image: str) -> None:
    """Have the node pull the trainer's image, 5 GB the first time, so that no job's money pays for it.

    Raises LocalClusterError where the pod does not end well within PULL_SECONDS.
    """
    cluster.kubectl("-n", NAMESPACE, "delete", "pod", PULL, "--ignore-not-found")
    cluster.apply(_pull_pod(image))
    cluster.kubectl(
        "-n", NAMESPACE, "wait", f"pod/{PULL}", "--for=jsonpath={.status.phase}=Succeeded", f"--timeout={PULL_SECONDS}s"
    )
    cluster.kubectl("-n", NAMESPACE, "delete", "pod", PULL)


def _pull_pod(image: str) -> dict[str, Any]:
    container = {
        "name": "pull",
        "image": image,
        "command": ["python", "-c", ""],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": PULL, "namespace": NAMESPACE},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        },
    }


def pool(rate_file: Path, setting: Setting) -> dict[str, Any]:
    """examples/pool.yaml with the rate that `farthing up` measured on this machine."""
    written = yaml.safe_load((setting.examples / "pool.yaml").read_text())
    spec = {**written["spec"], "rate": _rate(load_rate(rate_file)).to_dict()}
    GPUNodePool.model_validate(manifest := {**written, "spec": spec})
    return manifest


def _rate(measured: CpuRate) -> RateSpec:
    return RateSpec(
        flops_per_second=f"{measured.flops_per_second:.0f}",
        memory_bytes_per_second=f"{measured.bytes_per_second:.0f}",
        source=measured.source,
        as_of=measured.measured_at,
    )


def _image(value: str, reference: str) -> dict[str, str]:
    repository, _, tag = reference.rpartition(":")
    return {f"{value}.repository": repository, f"{value}.tag": tag}
