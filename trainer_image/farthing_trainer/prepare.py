"""The prepare stage: documents → token shards. No torch; resumable; its products are shared by all jobs that ask the same."""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from pydantic import ValidationError

from farthing.contract.runconfig import DataConfig, RunConfig
from farthing.units import MIB
from farthing_trainer.corpus import Source, Survey, open_source, survey, training_documents, validation_documents
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
from farthing_trainer.pretokenized import prepare_tokens
from farthing_trainer.storage import Folder
from farthing_trainer.tokenizer import TOKENIZER_FILE, TextCodec, check_tokenizer, load_tokenizer, open_tokenizer

SHARD_TEXT_BYTES = 8 * MIB
TOKENIZER_TEXT_BYTES = 16 * MIB
"""A tokenizer is trained on at most this much text, from the first documents on."""

log = logging.getLogger(__name__)


class Steps:
    """Called between two shards: the place where the stage may end early. The default never does."""

    def between_shards(self) -> None:
        """Raise Leave to end the stage here; finished shards are kept."""


@dataclass(frozen=True, slots=True)
class _Job:
    data: DataConfig
    train: Source
    validation: Source | None
    survey: Survey
    digest: str

    def documents(self, split: Split) -> Iterator[str]:
        if split == "train":
            return training_documents(self.train, self.survey.held_out)
        if self.validation is not None:
            return self.validation.documents()
        return validation_documents(self.train, self.survey.held_out)


def prepare(config: RunConfig, steps: Steps | None = None) -> Product:
    """Make the product or find it finished. Raises BadInput (nothing to train on, unreadable), Leave (from `steps`)."""
    if config.data.train.format == "Tokens":
        product = prepare_tokens(config.data)
    else:
        product = _prepare_text(config.data, steps or Steps())
    check_product(product, config)
    return product


def check_product(product: Product, config: RunConfig) -> None:
    """Raise BadInput where the product cannot feed this run: too few tokens, or more token ids than the model has rows."""
    needed = config.data.sequence_length + 1
    if product.validation_tokens < needed:
        remedy = (
            f"only {product.validation_tokens} validation tokens, one sequence needs {needed}; raise it or give data.validation"
        )
        raise BadInput("data.validationFraction", config.data.validation_fraction, remedy)
    if product.train_tokens < needed:
        remedy = f"only {product.train_tokens} training tokens, one sequence needs {needed}; give more data or a shorter one"
        raise BadInput("data.sequenceLength", config.data.sequence_length, remedy)
    rows = (config.model.config or {}).get("vocab_size")
    if rows is not None and rows < product.vocabulary:
        remedy = f"the tokenizer has {product.vocabulary} tokens; raise it, or lower data.tokenizer.vocabularySize"
        raise BadInput("model.config.vocab_size", rows, remedy)


def _prepare_text(data: DataConfig, steps: Steps) -> Product:
    job = _survey(data)
    prepared = Folder(data.prepared_uri, "data.preparedUri")
    folder = prepared / job.digest
    product = read_product(folder)
    if product is None:
        folder.make()
        codec = _tokenizer(job, folder)
        product = Product(
            digest=job.digest,
            vocabulary=codec.vocabulary,
            tokenizer_digest=codec.digest,
            end_of_text=codec.end_of_text,
            token_bytes=2 if codec.dtype.itemsize == 2 else 4,
            train=tuple(_shards(job, "train", codec, folder, steps)),
            validation=tuple(_shards(job, "validation", codec, folder, steps)),
        )
        folder.write(PRODUCT_MANIFEST, product.to_json().encode())
    else:
        log.info("the product %s is finished already", job.digest)
    point_to(prepared, data, job.digest)
    return product


def _survey(data: DataConfig) -> _Job:
    check_tokenizer(data.tokenizer)
    train = open_source(data.train, "data.train")
    validation = open_source(data.validation, "data.validation") if data.validation is not None else None
    seen = survey(train, None if validation is not None else data.validation_fraction)
    other = survey(validation, None).content_digest if validation is not None else data.validation_fraction
    identity = [FORMAT_VERSION, seen.content_digest, other, data.tokenizer.vocabulary_size, _tokenizer_identity(data)]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
    log.info("%d documents, product %s", seen.documents, digest)
    return _Job(data, train, validation, seen, digest)


def _tokenizer_identity(data: DataConfig) -> str | None:
    if data.tokenizer.uri is None:
        return None
    return load_tokenizer(Folder(data.tokenizer.uri, "data.tokenizer.uri")).digest


def _tokenizer(job: _Job, folder: Folder) -> TextCodec:
    """The product's own tokenizer where an earlier try saved it, else loaded or trained."""
    saved = folder / TOKENIZER_FOLDER
    if saved.exists(TOKENIZER_FILE):
        return load_tokenizer(saved)
    codec = open_tokenizer(job.data.tokenizer, _first_bytes(job.documents("train"), TOKENIZER_TEXT_BYTES))
    codec.save(saved)
    return codec


def _first_bytes(texts: Iterable[str], limit: int) -> Iterator[str]:
    read = 0
    for text in texts:
        if read >= limit:
            return
        read += len(text.encode())
        yield text


def _shards(job: _Job, split: Split, codec: TextCodec, folder: Folder, steps: Steps) -> Iterator[Shard]:
    """Every shard of a split, in order; one that an earlier try finished is kept."""
    for number, texts in enumerate(_batches(job.documents(split))):
        name = f"{split}-{number:05d}"
        yield _finished_shard(folder, name) or _make_shard(folder, name, texts, codec)
        steps.between_shards()


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    """Documents in groups of about SHARD_TEXT_BYTES."""
    for first in texts:
        group, size = [first], len(first.encode())
        while size < SHARD_TEXT_BYTES and (more := list(islice(texts, 1))):
            group += more
            size += len(more[0].encode())
        yield group


def _finished_shard(folder: Folder, name: str) -> Shard | None:
    if not (folder.exists(f"{name}.json") and folder.exists(f"{name}.bin")):
        return None
    try:
        shard = Shard.model_validate_json(folder.read(f"{name}.json"))
    except ValidationError:
        return None
    intact = hashlib.sha256(folder.read(f"{name}.bin")).hexdigest() == shard.sha256
    return shard if intact else None


def _make_shard(folder: Folder, name: str, texts: list[str], codec: TextCodec) -> Shard:
    ids = codec.encode(texts)
    size = sum(len(text.encode()) for text in texts)
    return write_shard(folder, name, ids, size, len(texts))
