"""Images of the operator and the trainer, built from the project's Dockerfiles and pushed to the local registry.

A reference's tag is the image's own digest: the same content has the same reference, and another content never an old one's.
"""

import os
import pwd
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from farthing.local.base_image import ensure_base
from farthing.local.buildah import build, buildah, builder
from farthing.local.cluster import LocalCluster
from farthing.local.containerd import containerd_client
from farthing.local.paths import Paths, checkout, invoker
from farthing.local.pruning import prune
from farthing.local.shell import run

Which = Literal["operator", "trainer"]

DOCKERFILES = {"operator": "Dockerfile", "trainer": "trainer_image/Dockerfile"}

CA_IN_IMAGE = "/etc/ssl/certs/ca-certificates.crt"
CACHE_IN_IMAGE = "/var/cache/uv"
"""Where trainer_image/Dockerfile has its package cache; a mount there makes the second build fast."""


def build_and_push(cluster: LocalCluster, which: Which, progress: Callable[[str], None] = print) -> str:
    """Build an image and push what the registry lacks of it; the reference to use in pods.

    Raises LocalClusterError with the end of the build's output, or outside a checkout.
    """
    paths, root = cluster.paths, checkout()
    with builder(paths):
        ensure_base(paths, progress)
        progress(f"building the {which} image")
        identifier = build(paths, root / DOCKERFILES[which], root, build_options(), progress)
        tag = identifier[:16]
        reference = f"{cluster.registry}/farthing/{which}:{tag}"
        buildah(paths, "tag", identifier, f"localhost/farthing/{which}:{tag}")
        progress(f"pushing {reference}")
        push(paths, identifier, reference)
        progress(f"unpacking {reference} on the node")
        preload(paths, reference)
        prune(paths, f"farthing/{which}")
    return reference


def build_options(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Mounts and arguments of one build only: the package cache, and the machine's certificates behind a proxy."""
    options = ["--volume", f"{_package_cache()}:{CACHE_IN_IMAGE}"]
    certificates = environment.get("SSL_CERT_FILE")
    if certificates and Path(certificates).is_file():
        options += ["--volume", f"{certificates}:{CA_IN_IMAGE}:ro"]
        options += [word for name in ("SSL_CERT_FILE", "PIP_CERT") for word in ("--build-arg", f"{name}={CA_IN_IMAGE}")]
    return options


def push(paths: Paths, image: str, reference: str) -> None:
    """Push without compressing anew (`-D`): only the layers that the registry lacks travel."""
    buildah(paths, "push", "--quiet", "-D", "--tls-verify=false", image, f"docker://{reference}")


def preload(paths: Paths, reference: str) -> None:
    """Pull and unpack on the node, so that no pod's clock runs while 5 GB are unpacked (89 s, measured)."""
    run([*containerd_client(paths), "images", "pull", "--plain-http", reference])


def push_pause(cluster: LocalCluster) -> str:
    """The image that holds a pod's namespaces: one static binary; its reference."""
    paths, binary = cluster.paths, cluster.binaries["pause"]
    reference = f"{cluster.registry}/farthing/pause:{binary.name.removeprefix('pause-')}"
    with builder(paths):
        container = buildah(paths, "from", "scratch").strip()
        buildah(paths, "copy", "--quiet", container, binary, "/pause")
        buildah(paths, "config", "--entrypoint", '["/pause"]', "--user", "65535:65535", container)
        push(paths, buildah(paths, "commit", "--quiet", "--rm", container).strip(), reference)
    return reference


def _package_cache() -> Path:
    """uv's cache: the user's own, except under sudo, where root must not write into it."""
    user = invoker()
    cache = Path(os.environ.get("UV_CACHE_DIR") or user.home / ".cache" / "uv")
    if user.behind_sudo:
        cache = Path(pwd.getpwuid(os.geteuid()).pw_dir) / ".cache" / "uv"
    cache.mkdir(parents=True, exist_ok=True)
    return cache
