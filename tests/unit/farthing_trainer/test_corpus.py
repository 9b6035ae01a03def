import json
import sys
from pathlib import Path

import pytest

from farthing.contract.runconfig import DataSource
from farthing_trainer.corpus import document_hash, open_source, survey, training_documents, validation_documents
from farthing_trainer.errors import BadInput


def text_source(folder: Path, pattern: str = "*.txt"):
    return open_source(DataSource(uri=f"file://{folder}/{pattern}"), "data.train")


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_text_is_one_document_a_file_in_the_order_of_the_paths(tmp_path: Path):
    write(tmp_path, b="second", a="first", c="")
    assert list(text_source(tmp_path).documents()) == ["first", "second"]


def test_globs_reach_into_folders(tmp_path: Path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    write(tmp_path / "deep" / "er", a="here")
    assert list(text_source(tmp_path, "**/*.txt").documents()) == ["here"]
    assert list(text_source(tmp_path, "deep").documents()) == ["here"]


def test_bytes_that_are_no_utf_8_are_replaced(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    assert list(text_source(tmp_path).documents()) == ["caf�"]


def test_json_lines_give_the_named_column(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"body": text}) for text in ("one", "two")) + "\n\n")
    source = open_source(DataSource(uri=f"file://{path}", format="JSONL", text_field="body"), "data.train")
    assert list(source.documents()) == ["one", "two"]
    wrong = open_source(DataSource(uri=f"file://{path}", format="JSONL"), "data.train")
    with pytest.raises(BadInput, match=r"data.train.textField: 'text' .*rows.jsonl:1"):
        list(wrong.documents())


def test_a_broken_line_is_named(tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text('{"text": "fine"}\n{broken\n')
    source = open_source(DataSource(uri=f"file://{tmp_path}/rows.jsonl", format="JSONL"), "data.train")
    with pytest.raises(BadInput, match=r"rows.jsonl:2"):
        list(source.documents())


def test_parquet_without_its_reader_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    source = open_source(DataSource(uri=f"file://{tmp_path}/rows.parquet", format="Parquet"), "data.train")
    with pytest.raises(BadInput, match=r"data.train.format: 'Parquet' .*pyarrow"):
        list(source.documents())


@pytest.mark.parametrize("uri", ["file:///nowhere/at/all/*.txt", "file:///nowhere/at/all", "nosuchscheme://x/y"])
def test_a_uri_that_names_nothing_is_bad_input(uri: str):
    with pytest.raises(BadInput, match=r"data.train.uri"):
        open_source(DataSource(uri=uri), "data.train")


def test_the_split_holds_out_its_share_and_never_nothing(tmp_path: Path):
    write(tmp_path, **{f"d{n}": f"text {n}" for n in range(20)})
    source = text_source(tmp_path)
    tenth = survey(source, 0.1)
    assert len(tenth.held_out) == 2
    assert len(survey(source, 0.001).held_out) == 1
    train, held = (list(pick(source, tenth.held_out)) for pick in (training_documents, validation_documents))
    assert len(train) == 18
    assert {document_hash(text) for text in held} == tenth.held_out
    assert not set(train) & set(held)


def test_equal_documents_lie_on_the_same_side(tmp_path: Path):
    write(tmp_path, a="same", b="same", c="other", d="third")
    source = text_source(tmp_path)
    held_out = survey(source, 0.3).held_out
    sides = [text for text in training_documents(source, held_out) if text == "same"]
    assert len(sides) in (0, 2)


def test_one_document_cannot_be_split(tmp_path: Path):
    with pytest.raises(BadInput, match=r"cannot be split"):
        survey(text_source(write(tmp_path, a="alone")), 0.5)


def test_empty_files_are_no_data(tmp_path: Path):
    with pytest.raises(BadInput, match=r"all its files are empty"):
        survey(text_source(write(tmp_path, a="", b="")), 0.1)


def test_the_digest_follows_the_content_not_the_place(tmp_path: Path):
    digests = []
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        digests.append(survey(text_source(write(tmp_path / folder, a="x", b="y")), 0.5).content_digest)
    assert digests[0] == digests[1]
    write(tmp_path / "there", b="z")
    assert survey(text_source(tmp_path / "there"), 0.5).content_digest != digests[0]
