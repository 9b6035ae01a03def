"""Dropping images that a newer build replaced: an old trainer is 6 GB in the builder, 3 in the registry and 9 in containerd.

Layers that the new image shares stay; a pod that runs from an old image is not disturbed.
"""

import shutil

from farthing.local.buildah import buildah
from farthing.local.containerd import containerd_client
from farthing.local.paths import Paths
from farthing.local.shell import run

LEFTOVERS = 60
"""Nameless images in the builder's store: about six a build, a few megabytes each."""


def prune_builder(paths: Paths, which: str, tag: str) -> None:
    """Drop other tags of an image with the layers that only they had, and nameless leftovers once there are many.

    A few are the last build's first stages: without them the next build of the same code would make another image of it.
    """
    names = buildah(paths, "images", "--format", "{{.Name}}:{{.Tag}}", "--filter", f"reference=localhost/farthing/{which}")
    for name in names.split():
        if not name.endswith(f":{tag}"):
            buildah(paths, "rmi", name)
    if len(buildah(paths, "images", "--quiet", "--filter", "dangling=true").split()) > LEFTOVERS:
        buildah(paths, "rmi", "--prune")


def prune_registry(paths: Paths, repository: str, tag: str) -> None:
    """Drop other tags of a repository and the layers that no tag needs. The builder's lock keeps pushes away."""
    manifests = paths.registry / "docker/registry/v2/repositories" / repository / "_manifests"
    old = [folder for folder in (manifests / "tags").iterdir() if folder.name != tag]
    for folder in old:
        shutil.rmtree(folder)
    if old:
        run(["docker-registry", "garbage-collect", "--delete-untagged", paths.etc / "registry.yaml"])


def prune_containerd(paths: Paths, infix: str, tag: str) -> None:
    """Drop older images under every name that containerd gave them, also those of an earlier registry port."""
    client = containerd_client(paths)
    old = parse_outdated(run([*client, "images", "list"]), infix, tag)
    if old:
        run([*client, "images", "remove", *old])


def parse_outdated(listing: str, infix: str, tag: str) -> list[str]:
    """The names in the output of `ctr images list` (name, type, digest, …) whose image is an older one of this kind.

    Each image has three names: its tag, its digest, and its id, which does not say what it is an image of.
    """
    digests = {name: digest for name, _, digest, *_ in map(str.split, listing.splitlines()[1:])}
    current = {digest for name, digest in digests.items() if name.endswith(f"{infix}:{tag}")}
    doomed = {digest for name, digest in digests.items() if f"{infix}:" in name or f"{infix}@" in name} - current
    return sorted(name for name, digest in digests.items() if digest in doomed)
