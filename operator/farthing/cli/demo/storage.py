"""Data and checkpoints on local volumes: Python's standard library to read from, an empty folder to write to."""

import shutil
import sysconfig
from pathlib import Path
from typing import Any

from farthing.cli.demo.setting import NAMESPACE, Setting
from farthing.local.cluster import LocalCluster
from farthing.local.volumes import STORAGE_CLASS, local_volume

CLAIMS = {"data": "1Gi", "checkpoints": "8Gi"}
"""Name and size of each claim; the size is what the claim asks for, the disk is the machine's."""

NOT_DATA = ("__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "ensurepip", "turtledemo")
"""Folders of the standard library that are no part of it, or tests and tools."""


def make_volumes(cluster: LocalCluster, setting: Setting) -> None:
    """A volume and a claim each for data and checkpoints."""
    for name, size in CLAIMS.items():
        volume = f"{NAMESPACE}-{name}"
        local_volume(cluster, volume, getattr(setting, name), size)
        cluster.apply(_claim(name, volume, size))


def copy_standard_library(setting: Setting) -> int:
    """Copy the sources of this Python's standard library into the data volume, once; the number of files there."""
    target = setting.data / "stdlib"
    if not target.exists():
        aside = target.with_suffix(".tmp")
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(Path(sysconfig.get_path("stdlib")), aside, ignore=_ignored)
        aside.rename(target)
    return sum(1 for _ in target.rglob("*.py"))


def empty_checkpoints(setting: Setting) -> None:
    """Remove what an earlier performance wrote; the folder itself stays, since it is a volume."""
    setting.checkpoints.mkdir(parents=True, exist_ok=True)
    for entry in setting.checkpoints.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _ignored(folder: str, names: list[str]) -> set[str]:
    """Everything but Python sources and folders of them."""
    here = Path(folder)
    unwanted = {name for name in names if name in NOT_DATA or name.startswith("config-")}
    return unwanted | {name for name in names if not (here / name).is_dir() and not name.endswith(".py")}


def _claim(name: str, volume: str, size: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": STORAGE_CLASS,
            "volumeName": volume,
            "resources": {"requests": {"storage": size}},
        },
    }
