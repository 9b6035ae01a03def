"""The product of the prepare stage: token shards, their index and the tokenizer, content-addressed below `data.preparedUri`.

<preparedUri>/request-<digest of the data config>.json   which product answers this config
<preparedUri>/<digest>/tokenizer/                        loads with AutoTokenizer
<preparedUri>/<digest>/train-00000.bin + .json           little-endian ids; index of the shard
<preparedUri>/<digest>/validation-00000.bin + .json
<preparedUri>/<digest>/manifest.json                     written last: the product is finished
"""

import hashlib
import json
import logging
from typing import Literal

import numpy as np
from pydantic import Field, ValidationError

from farthing.contract.base import Message
from farthing.contract.runconfig import DataConfig
from farthing_trainer.errors import BadInput
from farthing_trainer.storage import Folder

PRODUCT_MANIFEST = "manifest.json"
TOKENIZER_FOLDER = "tokenizer"
FORMAT_VERSION = "concat-v1"
"""Part of the digest and of the execution signature: documents joined by end-of-text, no packing mask."""
log = logging.getLogger(__name__)

Split = Literal["train", "validation"]


class Shard(Message):
    """One file of token ids. `bytes` are those of the text that the tokens stand for (0: unknown)."""

    name: str
    tokens: int = Field(ge=0)
    bytes: int = Field(ge=0)
    documents: int = Field(ge=0)
    sha256: str


class Product(Message):
    """A finished product. `token_bytes` is the size of one id on disk."""

    digest: str
    vocabulary: int
    tokenizer_digest: str
    end_of_text: int | None = None
    """Id that closes a document; None where the tokenizer names none."""
    token_bytes: Literal[2, 4]
    train: tuple[Shard, ...]
    validation: tuple[Shard, ...]

    @property
    def train_tokens(self) -> int:
        """Unique training tokens."""
        return sum(shard.tokens for shard in self.train)

    @property
    def validation_tokens(self) -> int:
        """Tokens held out."""
        return sum(shard.tokens for shard in self.validation)

    @property
    def validation_bytes_per_token(self) -> float | None:
        """Bytes of text per token of the validation split; None where the bytes are unknown."""
        total = sum(shard.bytes for shard in self.validation)
        return total / self.validation_tokens if total else None


class _Pointer(Message):
    product: str


def request_name(data: DataConfig) -> str:
    """Name of the pointer file for a data config: all that shapes the product, so neither sequence length nor seed."""
    shaping = data.model_copy(update={"sequence_length": 8, "seed": 0, "prepared_uri": ""})
    return f"request-{hashlib.sha256(shaping.to_json().encode()).hexdigest()[:16]}.json"


def read_product(folder: Folder) -> Product | None:
    """The finished product in a folder; None where there is none or its manifest cannot be understood."""
    if not folder.exists(PRODUCT_MANIFEST):
        return None
    try:
        return Product.model_validate_json(folder.read(PRODUCT_MANIFEST))
    except ValidationError:
        return None


def point_to(prepared: Folder, data: DataConfig, digest: str) -> None:
    """Say which product answers a data config."""
    prepared.write(request_name(data), _Pointer(product=digest).to_json().encode())


def find_product(data: DataConfig) -> tuple[Folder, Product]:
    """The product that the prepare stage made for a data config. Raises BadInput where there is none."""
    prepared = Folder(data.prepared_uri, "data.preparedUri")
    name = request_name(data)
    if prepared.exists(name):
        folder = prepared / _Pointer.model_validate(json.loads(prepared.read(name))).product
        product = read_product(folder)
        if product is not None:
            return folder, product
    raise BadInput("data.preparedUri", data.prepared_uri, "it holds no product for this data; run the Prepare stage first")


def write_shard(folder: Folder, name: str, ids: np.ndarray, text_bytes: int, documents: int) -> Shard:
    """Write one shard and, after it, its index."""
    data = ids.tobytes()
    shard = Shard(
        name=f"{name}.bin", tokens=len(ids), bytes=text_bytes, documents=documents, sha256=hashlib.sha256(data).hexdigest()
    )
    folder.write(shard.name, data)
    folder.write(f"{name}.json", shard.to_json().encode())
    log.info("%s: %d tokens", shard.name, shard.tokens)
    return shard
