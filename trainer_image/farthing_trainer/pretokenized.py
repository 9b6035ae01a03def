"""Data that comes as token ids: `.npy` arrays of whole numbers, one dimension each. Copied into shards like any other data."""

import hashlib
import io
import json

import numpy as np

from farthing.contract.runconfig import DataConfig
from farthing_trainer.corpus import Source, open_source
from farthing_trainer.errors import BadInput
from farthing_trainer.prepared import (
    FORMAT_VERSION,
    PRODUCT_MANIFEST,
    TOKENIZER_FOLDER,
    Product,
    Shard,
    Split,
    point_to,
    read_product,
    write_shard,
)
from farthing_trainer.storage import Folder
from farthing_trainer.tokenizer import TextCodec, load_tokenizer


def prepare_tokens(data: DataConfig) -> Product:
    """The product from token files. Needs `data.tokenizer.uri` and `data.validation`. Raises BadInput."""
    if data.tokenizer.uri is None or data.validation is None:
        raise BadInput("data.train.format", "Tokens", "token ids need data.tokenizer.uri and a data.validation of their own")
    codec = load_tokenizer(Folder(data.tokenizer.uri, "data.tokenizer.uri"))
    splits: dict[Split, Source] = {
        "train": open_source(data.train, "data.train"),
        "validation": open_source(data.validation, "data.validation"),
    }
    hashes = [[hashlib.sha256(s.read(path)).hexdigest() for path in s.paths] for s in splits.values()]
    digest = hashlib.sha256(json.dumps([FORMAT_VERSION, "tokens", codec.digest, hashes]).encode()).hexdigest()[:32]
    prepared = Folder(data.prepared_uri, "data.preparedUri")
    product = read_product(prepared / digest) or _make(prepared / digest, digest, codec, splits)
    point_to(prepared, data, digest)
    return product


def _make(folder: Folder, digest: str, codec: TextCodec, splits: dict[Split, Source]) -> Product:
    codec.save(folder / TOKENIZER_FOLDER)
    product = Product(
        digest=digest,
        vocabulary=codec.vocabulary,
        tokenizer_digest=codec.digest,
        end_of_text=codec.end_of_text,
        token_bytes=2 if codec.dtype.itemsize == 2 else 4,
        train=_copy(folder, "train", splits["train"], codec),
        validation=_copy(folder, "validation", splits["validation"], codec),
    )
    folder.write(PRODUCT_MANIFEST, product.to_json().encode())
    return product


def _copy(folder: Folder, split: Split, source: Source, codec: TextCodec) -> tuple[Shard, ...]:
    return tuple(
        write_shard(folder, f"{split}-{number:05d}", _ids(source, path, codec), 0, 1)
        for number, path in enumerate(source.paths)
    )


def _ids(source: Source, path: str, codec: TextCodec) -> np.ndarray:
    try:
        ids = np.load(io.BytesIO(source.read(path)), allow_pickle=False)
    except ValueError as error:
        raise BadInput(source.field, path, f"it is no .npy array ({error}); save one with numpy.save") from error
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise BadInput(source.field, path, f"shape {ids.shape} of {ids.dtype}; token ids are whole numbers in one dimension")
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < codec.vocabulary:
        raise BadInput(source.field, path, f"ids {ids.min()} … {ids.max()} lie outside the tokenizer's {codec.vocabulary}")
    return np.asarray(ids, dtype=codec.dtype)
