"""The checkpoint manifest: the commit record of a checkpoint, written last.

On disk: `<uri>/step-<8 digits>/` with DCP's files and `manifest.json`; while being written `step-N.tmp.<attempt>/`. A folder
without a manifest, or whose files do not match their digests, is not a checkpoint; nor is one whose manifest does not match
its own seal.
"""

import hashlib
from typing import Any, Literal

from pydantic import Field

from farthing.contract.base import Message
from farthing.contract.handshake import CheckpointAnswer

MANIFEST_NAME = "manifest.json"


def checkpoint_folder(step: int) -> str:
    """Folder name of the checkpoint after `step` optimizer steps; sorts by step."""
    return f"step-{step:08d}"


class FileDigest(Message):
    """One file of the checkpoint, DCP's `.metadata` included. `sha256` is hexadecimal."""

    name: str
    bytes: int = Field(ge=0)
    sha256: str


class Landing(Message):
    """The decay phase. From `first_step` on the learning rate is a pure function of the step, zero after `last_step`.

    `version` rises when a new lease cannot reach `last_step` and the rest of the decay is compressed (DESIGN 6).
    """

    version: int = Field(ge=1)
    first_step: int = Field(ge=0)
    last_step: int = Field(ge=1)
    lr_at_first: float = Field(ge=0)


class Manifest(Message):
    """What a checkpoint holds and where in the run it stands."""

    version: Literal["v1alpha1"] = "v1alpha1"
    job_uid: str
    attempt: str
    step: int = Field(ge=0)
    """Optimizer steps made."""
    tokens: int = Field(ge=0)
    """Tokens of the surviving lineage: step × tokens per step."""
    next_sample: int = Field(ge=0)
    """Global index of the next sequence to train on."""
    seed: int
    signature: dict[str, Any]
    """Execution signature: resume is bit for bit only while it is unchanged."""
    landing: Landing | None = None
    trunk: bool = False
    """The checkpoint just before the landing: kept whatever `keep` says."""
    data_digest: str
    tokenizer_digest: str
    flops: float = Field(ge=0)
    """Executed by the job so far, all attempts, as far as this lineage knows."""
    duration_seconds: float = Field(ge=0)
    created: str
    answer: CheckpointAnswer | None = None
    """The request that this checkpoint answers, if any."""
    files: tuple[FileDigest, ...]
    seal: str = ""
    """SHA-256 of the manifest's bytes before this last member, so that a flipped bit in the manifest itself is seen."""


_SEAL = b',"seal":"'
_CLOSE = b'"}'


def sealed(manifest: Manifest) -> bytes:
    """The manifest as it is written: JSON that ends with its seal."""
    body, _, _ = manifest.model_copy(update={"seal": ""}).to_json().encode().rpartition(_SEAL)
    return body + _SEAL + hashlib.sha256(body).hexdigest().encode() + _CLOSE


def open_sealed(data: bytes) -> Manifest:
    """A manifest as it was written. Raises ValueError where any byte of it has changed."""
    body, _, end = data.rpartition(_SEAL)
    if end != hashlib.sha256(body).hexdigest().encode() + _CLOSE:
        raise ValueError("the manifest does not match its seal")
    return Manifest.model_validate_json(data)
