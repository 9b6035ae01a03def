"""What it means for two runs to be the same: every tensor of a checkpoint bit for bit, and where in the run it stands."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tests.support.trainer import checkpoint_tensors, manifests

from farthing.contract.checkpoint import Landing, Manifest, checkpoint_folder


@dataclass(frozen=True)
class State:
    """A checkpoint as a resumed run finds it: weights and optimizer by name, and everything beside the tensors."""

    tensors: dict[str, Any]
    step: int
    next_sample: int
    tokens: int
    landing: Landing | None
    trunk: bool
    flops: float

    @classmethod
    @cache
    def of(cls, home: Path, step: int) -> "State":
        """The checkpoint of one step below `home`, which no run writes any more."""
        (manifest,) = (each for each in manifests(home) if each.step == step)
        return cls(_tensors(home / "checkpoints" / checkpoint_folder(step)), **_facts(manifest))

    def differences(self, other: "State") -> list[str]:
        """Names of all that is not the same; a tensor's bits count, not its values (−0 is not 0)."""
        facts = [name for name in _FACTS if getattr(self, name) != getattr(other, name)]
        names = sorted(self.tensors.keys() | other.tensors.keys())
        return facts + [name for name in names if not _same_bits(self.tensors.get(name), other.tensors.get(name))]


_FACTS = ("step", "next_sample", "tokens", "landing", "trunk", "flops")


def _facts(manifest: Manifest) -> dict[str, Any]:
    return {name: getattr(manifest, name) for name in _FACTS}


def _same_bits(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(one.contiguous().numpy().tobytes() == other.contiguous().numpy().tobytes())


def _tensors(folder: Path) -> dict[str, Any]:
    """Loaded from a copy: what the loader leaves beside a checkpoint must not be found by a later attempt."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / folder.name
        shutil.copytree(folder, copy)
        return checkpoint_tensors(copy)


def assert_same(one: Path, other: Path, steps: Sequence[int]) -> None:
    """The checkpoints of these steps are the same below both homes."""
    wrong = {step: State.of(one, step).differences(State.of(other, step)) for step in steps}
    assert {step: names for step, names in wrong.items() if names} == {}


def assert_same_output(one: Path, other: Path) -> None:
    """The finished models are the same files."""
    weights = [home / "output" / "model.safetensors" for home in (one, other)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def with_checkpoint(home: Path, source: Path, step: int) -> Path:
    """Give an empty home the checkpoint that a run below `source` wrote after `step`; none for step 0."""
    home.mkdir(parents=True, exist_ok=True)
    if step:
        name = checkpoint_folder(step)
        shutil.copytree(source / "checkpoints" / name, home / "checkpoints" / name)
    return home
