"""Where the local cluster keeps its things: the cluster's own state, the builder's cache and the store of images."""

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from farthing.errors import LocalClusterError

DEFAULT_STATE = Path("/var/lib/farthing")
"""One cluster's state; another one stands beside it in another directory."""

MODULES = Path(__file__).parent / "kubernetes"
"""The Go modules that the cluster is built from: package data."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Every directory below one cluster's state. `image_store` is shared: it outlives the cluster, so that the next
    `up` builds and pulls nothing."""

    state: Path
    cache: Path
    image_store: Path

    @property
    def pki(self) -> Path:
        """Keys, certificates and kubeconfigs of the components."""
        return self.state / "pki"

    @property
    def etc(self) -> Path:
        """Rendered configuration files."""
        return self.state / "etc"

    @property
    def run(self) -> Path:
        """Pid files and sockets."""
        return self.state / "run"

    @property
    def log(self) -> Path:
        """One log a component."""
        return self.state / "log"

    @property
    def kubelet(self) -> Path:
        """The kubelet's root directory: full of mounts while it runs."""
        return self.state / "kubelet"

    @property
    def containerd_root(self) -> Path:
        """Images and snapshots; kept by `down`."""
        return self.image_store / "containerd"

    @property
    def containerd_state(self) -> Path:
        """Running tasks, network namespaces and runc's state."""
        return self.state / "containerd"

    @property
    def containerd_socket(self) -> Path:
        """The socket that kubelet and shims speak to."""
        return self.run / "containerd.sock"

    @property
    def registry(self) -> Path:
        """The local registry's layers; kept by `down`."""
        return self.image_store / "registry"

    @property
    def builder(self) -> Path:
        """Buildah's layer store; kept by `down`."""
        return self.image_store / "buildah"

    @property
    def binaries(self) -> Path:
        """What was built from the Go modules, each file named by its content key."""
        return self.cache / "bin"

    def make(self) -> None:
        """Create the state's own directories; `pki` is closed to others."""
        for directory in (self.state, self.etc, self.run, self.log):
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.pki.mkdir(mode=0o700, parents=True, exist_ok=True)


def resolve(state: Path | None = None, environment: Mapping[str, str] = os.environ) -> Paths:
    """The paths that the environment asks for: FARTHING_STATE, FARTHING_CACHE and FARTHING_IMAGES, or the defaults.

    Raises LocalClusterError if the state's path is too long for the sockets below it (108 bytes, unix(7)).
    """
    chosen = (state or Path(environment.get("FARTHING_STATE", str(DEFAULT_STATE)))).absolute()
    if len(str(chosen)) > 60:
        raise LocalClusterError(f"state directory {chosen}: may have at most 60 characters, as sockets live below it")
    return Paths(
        state=chosen,
        cache=Path(environment.get("FARTHING_CACHE") or invoker(environment).home / ".cache" / "farthing"),
        image_store=Path(environment.get("FARTHING_IMAGES") or DEFAULT_STATE / "images"),
    )


def checkout() -> Path:
    """The project's source tree, which the images are built from.

    Raises LocalClusterError where this package was installed without it.
    """
    root = Path(__file__).resolve().parents[3]
    if not (root / "trainer_image" / "Dockerfile").is_file():
        raise LocalClusterError(f"images are built from a checkout, and {root} is none: `pip install -e` the project from one")
    return root


@dataclass(frozen=True, slots=True)
class Invoker:
    """The person at the shell: under sudo not root, but whoever called sudo."""

    uid: int
    gid: int
    home: Path

    @property
    def behind_sudo(self) -> bool:
        """Whether this process has another user than the person who started it."""
        return self.uid != os.geteuid()

    def own(self, path: Path) -> None:
        """Give `path` to this user, where the process may."""
        if self.behind_sudo:
            os.chown(path, self.uid, self.gid)


def invoker(environment: Mapping[str, str] = os.environ) -> Invoker:
    """Who started this: the sudo user where there is one, else the process's own user."""
    uid = int(environment["SUDO_UID"]) if os.geteuid() == 0 and environment.get("SUDO_UID") else os.geteuid()
    user = pwd.getpwuid(uid)
    home = environment.get("HOME") if uid == os.geteuid() else None
    return Invoker(uid=uid, gid=user.pw_gid, home=Path(home or user.pw_dir))
