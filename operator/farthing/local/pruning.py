"""Dropping images that newer builds replaced: an old trainer is 6 GB in the builder, 3 in the registry and 9 in containerd.

Some older ones stay, since pods of what is under way may still start from them. Layers that a kept image shares stay; a pod
that runs from an old image is not disturbed.
"""

import shutil
from collections.abc import Collection

from farthing.local.buildah import buildah
from farthing.local.containerd import containerd_client
from farthing.local.paths import Paths
from farthing.local.shell import run

KEPT = {"farthing/operator": 8, "farthing/trainer": 2}
"""Newest images of a repository that stay: a Deployment may start from an older operator, which costs a few megabytes more; an
older trainer may cost 18 GB, and the one before is enough for a job that is under way."""

LEFTOVERS = 60
"""Nameless images in the builder's store: about six a build, a few megabytes each."""


def prune(paths: Paths, repository: str) -> None:
    """Drop all but the newest images of a repository (`farthing/trainer`) everywhere."""
    kept = prune_registry(paths, repository)
    prune_builder(paths, repository, kept)
    prune_containerd(paths, repository, kept)


def prune_registry(paths: Paths, repository: str) -> list[str]:
    """Drop old tags and the layers that no tag needs; the tags kept. The builder's lock keeps pushes away."""
    tags = paths.registry / "docker/registry/v2/repositories" / repository / "_manifests" / "tags"
    newest_first = sorted(tags.iterdir(), key=lambda tag: (tag / "current" / "link").stat().st_mtime, reverse=True)
    for old in newest_first[KEPT[repository] :]:
        shutil.rmtree(old)
    if newest_first[KEPT[repository] :]:
        run(["docker-registry", "garbage-collect", "--delete-untagged", paths.etc / "registry.yaml"])
    return [tag.name for tag in newest_first[: KEPT[repository]]]


def prune_builder(paths: Paths, repository: str, kept: Collection[str]) -> None:
    """Drop other tags of an image with the layers that only they had, and nameless leftovers once there are many.

    A few are the last build's first stages: without them the next build would run these stages again.
    """
    names = buildah(paths, "images", "--format", "{{.Name}}:{{.Tag}}", "--filter", f"reference=localhost/{repository}")
    for name in names.split():
        if name.rpartition(":")[2] not in kept:
            buildah(paths, "rmi", name)
    if len(buildah(paths, "images", "--quiet", "--filter", "dangling=true").split()) > LEFTOVERS:
        buildah(paths, "rmi", "--prune")


def prune_containerd(paths: Paths, repository: str, kept: Collection[str]) -> None:
    """Drop older images under every name that containerd gave them, also those of an earlier registry port."""
    client = containerd_client(paths)
    old = parse_outdated(run([*client, "images", "list"]), repository, kept)
    if old:
        run([*client, "images", "remove", *old])


def parse_outdated(listing: str, repository: str, kept: Collection[str]) -> list[str]:
    """The names in the output of `ctr images list` (name, type, digest, …) whose image is an older one of a repository.

    Each image has three names: its tag, its digest, and its id, which does not say what it is an image of.
    """
    digests = {name: digest for name, _, digest, *_ in map(str.split, listing.splitlines()[1:])}
    current = {digest for name, digest in digests.items() if any(name.endswith(f"/{repository}:{tag}") for tag in kept)}
    ours = {digest for name, digest in digests.items() if f"/{repository}:" in name or f"/{repository}@" in name}
    return sorted(name for name, digest in digests.items() if digest in ours - current)
