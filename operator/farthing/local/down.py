"""`farthing down`: leave nothing behind, from whatever state things are in, also after `kill -9` of everything."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from farthing.local import processes, requirements
from farthing.local.baseline import load_baseline
from farthing.local.lock import alone
from farthing.local.mounts import require_unmounted
from farthing.local.paths import Paths, resolve
from farthing.local.teardown import remove_node

LAST = ("containerd", "etcd")
"""Stopped after those that write to them; all others in the order of their names."""


def down(state: Path | None = None, progress: Callable[[str], None] = print, *, images: bool = False) -> None:
    """Stop a cluster and remove what it left on the machine; doing it twice, or without a cluster, changes nothing.

    The store of images stays, so that the next `up` builds and pulls nothing, unless `images` is set. Data behind local
    volumes always stays. Raises LocalClusterError naming what could not be removed.
    """
    paths = resolve(state)
    requirements.extend_path()
    if paths.state.exists():
        progress(f"stopping the cluster in {paths.state}")
        with alone(paths):
            _take_down(paths)
    if images:
        _remove(paths.image_store)
    progress("down")


def _take_down(paths: Paths) -> None:
    baseline = load_baseline(paths)
    if baseline is not None:
        requirements.require_root()
    stop_components(paths)
    if baseline is not None:
        remove_node(paths, baseline)
    remove_state(paths)


def stop_components(paths: Paths) -> None:
    """Kill every component at once rather than gently: nothing of them is kept."""
    order = [name for name in processes.names(paths) if name not in LAST]
    for name in [*order, *LAST]:
        processes.stop(paths, name, sig=signal.SIGKILL)


def remove_state(paths: Paths) -> None:
    """Remove the state directory but for a store of images below it."""
    require_unmounted(paths.state)
    for entry in paths.state.iterdir():
        if not paths.image_store.is_relative_to(entry):
            _remove(entry)
    if not any(paths.state.iterdir()):
        paths.state.rmdir()


def _remove(entry: Path) -> None:
    require_unmounted(entry)
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)
