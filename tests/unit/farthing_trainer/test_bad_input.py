"""The prepare stage as its own process on input that it cannot use: exit 64 and a last word with field, value and way out."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.trainer import TINY_LLAMA, run_config, supervised, write_corpus

from farthing.contract.exit_codes import ExitCode


@dataclass(frozen=True)
class Bad:
    """What is said of the data, what lies in the folder, and what the last word has to name."""

    data: dict[str, Any]
    words: tuple[str, ...]
    put: Callable[[Path], None] = write_corpus
    model: dict[str, Any] | None = None


def empty(folder: Path) -> None:
    folder.mkdir()
    (folder / "0.txt").write_text("")


def one(folder: Path) -> None:
    folder.mkdir()
    (folder / "0.txt").write_text("a single document")


def no_tokenizer(folder: Path) -> None:
    write_corpus(folder)
    tokenizer = folder.parent / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "tokenizer.json").write_text("{}")
    (tokenizer / "tokenizer_config.json").write_text("{}")


def lines(*rows: str) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        folder.mkdir()
        (folder / "0.jsonl").write_text("\n".join(rows))

    return put


BAD = {
    "nothing there": Bad({"train": {"uri": "file:///nowhere/*.txt"}}, ("data.train.uri", "/nowhere", "check the path")),
    "a folder that is missing": Bad({"train": {"uri": "file:///nowhere"}}, ("data.train.uri", "check that it exists")),
    "a scheme that nothing reads": Bad({"train": {"uri": "carrier-pigeon://x"}}, ("data.train.uri", "use file://")),
    "empty files": Bad({}, ("data.train.uri", "all its files are empty", "give it some text"), put=empty),
    "a single document": Bad({}, ("data.train.uri", "cannot be split", "give data.validation or more documents"), put=one),
    "validation longer than the data": Bad(
        {"sequenceLength": 4000}, ("data.validationFraction", "one sequence needs 4001", "raise it or give data.validation")
    ),
    "validation at a URI of its own that is missing": Bad(
        {"validation": {"uri": "file:///nowhere/v/*"}}, ("data.validation.uri", "check the path")
    ),
    "a tokenizer too large for the model": Bad(
        {"tokenizer": {"vocabularySize": 400}},
        ("model.config.vocab_size", "300", "lower data.tokenizer.vocabularySize"),
        model={"config": {**TINY_LLAMA, "vocab_size": 300}},
    ),
    "no tokenizer there": Bad(
        {"tokenizer": {"vocabularySize": None, "uri": "file:///nowhere/tokenizer"}}, ("data.tokenizer.uri", "cannot be read")
    ),
    "a tokenizer that is none": Bad(
        {"tokenizer": {"vocabularySize": None, "uri": "{home}/tokenizer"}}, ("data.tokenizer.uri", "save it"), put=no_tokenizer
    ),
    "lines that are no JSON": Bad(
        {"train": {"uri": "{home}/corpus/*.jsonl", "format": "JSONL"}},
        ("data.train", "the line is not JSON", "one object a line"),
        put=lines('{"text": "a"}', "plain"),
    ),
    "a column that is missing": Bad(
        {"train": {"uri": "{home}/corpus/*.jsonl", "format": "JSONL", "textField": "body"}},
        ("data.train.textField", "body", "name the column that holds the text"),
        put=lines('{"text": "a"}'),
    ),
}


@pytest.mark.parametrize("name", list(BAD))
def test_prepare_leaves_with_64_and_says_what_to_mend(name: str, tmp_path: Path) -> None:
    bad = BAD[name]
    bad.put(tmp_path / "corpus")
    data = json.loads(json.dumps(bad.data).replace("{home}", f"file://{tmp_path}"))
    model = {} if bad.model is None else {"model": bad.model}
    with supervised(tmp_path, run_config(tmp_path, stage="Prepare", data=data, **model)) as run:
        assert run.wait() == [ExitCode.BAD_CONFIG], run.log
        word = run.last_word()
    assert (word.exit_code, word.reason) == (ExitCode.BAD_CONFIG, "BadConfig")
    assert all(part in word.message for part in bad.words), word.message
