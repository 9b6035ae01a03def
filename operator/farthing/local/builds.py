"""Binaries from Go modules, built once: each file's name carries the digest of what it was built from."""

import hashlib
import itertools
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from farthing.errors import LocalClusterError
from farthing.local.paths import MODULES, Paths
from farthing.local.shell import stream
from farthing.local.toolchain import Go, find

Progress = Callable[[str], None]

REPORT_EVERY = 100
"""Compiled packages between two lines of progress."""


@dataclass(frozen=True, slots=True)
class Module:
    """A Go module of ours and the main package to build in it. `stamp` names the requirement whose version the
    Kubernetes binaries must report; without it their clients see v0.0.0."""

    name: str
    package: str = "."
    stamp: str | None = None

    @property
    def folder(self) -> Path:
        """Where go.mod stands."""
        return MODULES / self.name

    def linker_flags(self) -> str:
        """`-ldflags`: no symbol table, and the version where it is stamped."""
        if self.stamp is None:
            return "-s -w"
        version = required_version(self.folder / "go.mod", self.stamp)
        major, minor, _ = version.removeprefix("v").split(".", 2)
        base, client = "k8s.io/component-base/version", "k8s.io/client-go/pkg/version"
        stamps = {
            f"{base}.gitVersion": version,
            f"{base}.gitMajor": major,
            f"{base}.gitMinor": minor,
            f"{client}.gitVersion": version,
        }
        return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in stamps.items())])

    def key(self, go_version: str) -> str:
        """Digest of everything that decides the binary: the module's files, the flags and the Go release."""
        digest = hashlib.sha256("\0".join([go_version, self.package, self.linker_flags()]).encode())
        for file in sorted(path for path in self.folder.iterdir() if path.is_file()):
            digest.update(f"\0{file.name}\0".encode() + file.read_bytes())
        return digest.hexdigest()[:16]


SERVER = Module("server", stamp="k8s.io/kubernetes")
"""etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy and kubectl in one."""
COREDNS = Module("coredns")
HELM = Module("helm", "helm.sh/helm/v4/cmd/helm")
KWOK = Module("kwok", "sigs.k8s.io/kwok/cmd/kwok")
PAUSE = Module("pause")


def required_version(go_mod: Path, module: str) -> str:
    """The version that a go.mod requires of a module, like `v1.37.2`."""
    match = re.search(rf"^\s*(?:require\s+)?{re.escape(module)}\s+(v\S+)", go_mod.read_text(), flags=re.MULTILINE)
    if match is None:
        raise LocalClusterError(f"{go_mod}: does not require {module}")
    return match[1]


def build(paths: Paths, modules: Sequence[Module], progress: Progress) -> dict[str, Path]:
    """Build what the cache lacks, one after another; the binaries by module name."""
    go = find(paths, progress)
    return {module.name: _built(paths, module, go, progress) for module in modules}


def _built(paths: Paths, module: Module, go: Go, progress: Progress) -> Path:
    binary = paths.binaries / f"{module.name}-{module.key(go.version)}"
    if binary.exists():
        return binary
    _make_cache(paths, go)
    aside = binary.with_suffix(f".{os.getpid()}")
    progress(f"building {module.name} with {go.version}; once, cached as {binary}")
    _compile(module, go, aside, progress)
    aside.replace(binary)
    _drop_older(binary, module)
    return binary


def _compile(module: Module, go: Go, output: Path, progress: Progress) -> None:
    """`go build -v`, which prints each package as it is compiled; under sudo as the user, so that the caches stay theirs."""
    flags: list[str | Path] = ["-v", "-trimpath", "-buildvcs=false", "-ldflags", module.linker_flags(), "-o", output]
    packages = itertools.count(1)

    def report(line: str) -> None:
        if (count := next(packages)) % REPORT_EVERY == 0:
            progress(f"building {module.name}: {count} packages, now {line}")

    stream(
        ["nice", "-n", "10", go.command, "build", *flags, module.package],
        report,
        cwd=module.folder,
        environment=go.environment(),
        user=(go.user.uid, go.user.gid) if go.user.behind_sudo else None,
    )


def _make_cache(paths: Paths, go: Go) -> None:
    created = [folder for folder in (*reversed(paths.binaries.parents), paths.binaries) if not folder.exists()]
    paths.binaries.mkdir(parents=True, exist_ok=True)
    for folder in created:
        go.user.own(folder)


def _drop_older(kept: Path, module: Module) -> None:
    """Binaries of the same module that no state can ask for again: 150 MB each."""
    for other in kept.parent.glob(f"{module.name}-*"):
        if other != kept:
            other.unlink()
