"""Documents from an fsspec URI: which files there are, what is in them, and which documents are for validation. No torch."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from farthing.contract.runconfig import DataSource
from farthing_trainer.errors import BadInput
from farthing_trainer.storage import open_filesystem

_GLOB_CHARACTERS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Source:
    """The files behind a URI, in a fixed order (by path)."""

    filesystem: Any
    paths: tuple[str, ...]
    spec: DataSource
    field: str
    """The run config's field, for error messages."""

    def documents(self) -> Iterator[str]:
        """Every document that is not empty, in order. Raises BadInput where a file cannot be read."""
        for path in self.paths:
            yield from (text for text in self._in_file(path) if text)

    def read(self, path: str) -> bytes:
        """All bytes of one file. Raises BadInput."""
        try:
            return bytes(self.filesystem.cat_file(path))
        except OSError as error:
            raise BadInput(self.field, path, f"it cannot be read ({error}); mend its permissions or the URI") from error

    def _in_file(self, path: str) -> Iterator[str]:
        data = self.read(path)
        if self.spec.format == "Text":
            yield data.decode("utf-8", errors="replace")
        elif self.spec.format == "JSONL":
            yield from self._json_lines(path, data)
        elif self.spec.format == "Parquet":
            yield from self._parquet_rows(path, data)
        else:
            raise BadInput(f"{self.field}.format", self.spec.format, "it holds token ids, not documents")

    def _json_lines(self, path: str, data: bytes) -> Iterator[str]:
        for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines(), start=1):
            if line.strip():
                yield self._text_of(f"{path}:{number}", line)

    def _text_of(self, where: str, line: str) -> str:
        field = f"{self.field}.textField"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadInput(self.field, where, f"the line is not JSON ({error}); use one object a line") from error
        if not isinstance(row, dict) or not isinstance(row.get(self.spec.text_field), str):
            raise BadInput(field, self.spec.text_field, f"{where} has no text in it; name the column that holds the text")
        return str(row[self.spec.text_field])

    def _parquet_rows(self, path: str, data: bytes) -> Iterator[str]:
        try:
            import pyarrow as arrow
            import pyarrow.parquet as parquet
        except ImportError as error:
            remedy = "Parquet needs pyarrow, which this image does not have; use JSONL or an image with pyarrow"
            raise BadInput(f"{self.field}.format", "Parquet", remedy) from error
        table = parquet.read_table(arrow.BufferReader(data), columns=[self.spec.text_field])
        yield from (text for text in table.column(self.spec.text_field).to_pylist() if text)


def open_source(spec: DataSource, field: str) -> Source:
    """List the files behind a URI. Raises BadInput where there are none or the URI cannot be read."""
    filesystem, path = open_filesystem(spec.uri, f"{field}.uri")
    try:
        paths = _files(filesystem, path)
    except OSError as error:
        raise BadInput(f"{field}.uri", spec.uri, f"it cannot be read ({error}); check that it exists and is mounted") from error
    if not paths:
        raise BadInput(f"{field}.uri", spec.uri, "it names no file; check the path and the pattern")
    return Source(filesystem, tuple(paths), spec, field)


def _files(filesystem: Any, path: str) -> list[str]:
    if _GLOB_CHARACTERS & set(path):
        found = filesystem.glob(path, detail=True)
    elif filesystem.isdir(path):
        found = filesystem.find(path, detail=True)
    else:
        found = {path: filesystem.info(path)}
    return sorted(name for name, info in found.items() if info["type"] == "file")


def document_hash(text: str) -> bytes:
    """16 bytes of a document's SHA-256: what decides on which side of the split it lies; equal texts lie on the same side."""
    return hashlib.sha256(text.encode("utf-8", errors="replace")).digest()[:16]


@dataclass(frozen=True, slots=True)
class Survey:
    """One pass over a source: what its digest is and which documents are held out."""

    content_digest: str
    documents: int
    held_out: frozenset[bytes]
    """Hashes of the validation documents."""


def survey(source: Source, held_out_fraction: float | None) -> Survey:
    """Read everything once. The documents with the lowest hashes are held out: a stable choice, and never none of them."""
    whole = hashlib.sha256()
    hashes: set[bytes] = set()
    count = 0
    for text in source.documents():
        hashes.add(one := document_hash(text))
        whole.update(one)
        count += 1
    if count == 0:
        raise BadInput(f"{source.field}.uri", source.spec.uri, "all its files are empty; give it some text")
    held_out = 0 if held_out_fraction is None else max(1, round(held_out_fraction * len(hashes)))
    if held_out >= len(hashes):
        remedy = f"{len(hashes)} different documents cannot be split; give data.validation or more documents"
        raise BadInput(f"{source.field}.uri", source.spec.uri, remedy)
    return Survey(whole.hexdigest(), count, frozenset(islice(sorted(hashes), held_out)))


def training_documents(source: Source, held_out: frozenset[bytes]) -> Iterator[str]:
    """The documents that may be trained on, in order."""
    return (text for text in source.documents() if not held_out or document_hash(text) not in held_out)


def validation_documents(source: Source, held_out: frozenset[bytes]) -> Iterator[str]:
    """The documents held out, in order."""
    return (text for text in source.documents() if document_hash(text) in held_out)
