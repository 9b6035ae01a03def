import json
from pathlib import Path

import numpy as np
import pytest
from tests.support.trainer import run_config, write_corpus

from farthing.contract.exit_codes import ExitCode
from farthing.contract.runconfig import RunConfig
from farthing_trainer import prepare as stage
from farthing_trainer.data import open_split
from farthing_trainer.errors import BadInput, Leave
from farthing_trainer.prepare import Steps, prepare
from farthing_trainer.prepared import find_product
from farthing_trainer.storage import Folder
from farthing_trainer.tokenizer import END_OF_TEXT, load_tokenizer, train_tokenizer


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_corpus(tmp_path / "corpus")
    return tmp_path


def stage_config(home: Path, **changes: object) -> RunConfig:
    return run_config(home, stage="Prepare", **changes)


def files(home: Path) -> dict[str, bytes]:
    return {str(p.relative_to(home)): p.read_bytes() for p in sorted((home / "prepared").rglob("*")) if p.is_file()}


def test_the_product_decodes_to_the_documents(home: Path):
    config = stage_config(home)
    product = prepare(config)
    folder, found = find_product(config.data)
    assert found == product
    codec = load_tokenizer(folder / "tokenizer")
    (shard,) = product.train
    ids = np.frombuffer((home / "prepared" / product.digest / shard.name).read_bytes(), "<u2")
    documents = codec.tokenizer.decode(ids.tolist(), skip_special_tokens=False).split(END_OF_TEXT)[:-1]
    texts = {path.read_text() for path in (home / "corpus").iterdir()}
    assert len(documents) == shard.documents == 36
    assert set(documents) <= texts
    assert shard.bytes == sum(len(text.encode()) for text in documents)
    assert product.vocabulary == 300


def test_the_trainer_reads_what_was_written(home: Path, tmp_path: Path):
    product = prepare(stage_config(home))
    folder = Folder(f"file://{home}/prepared/{product.digest}")
    sequences = open_split(folder, product, product.train, 32, tmp_path)
    assert len(sequences) == (product.train_tokens - 1) // 32


def test_twice_is_once(home: Path):
    first = prepare(stage_config(home))
    before = files(home)
    assert prepare(stage_config(home)) == first
    assert files(home) == before


def test_elsewhere_gives_the_same_bytes(home: Path, tmp_path: Path):
    prepare(stage_config(home))
    other = stage_config(home, data={"preparedUri": f"file://{tmp_path}/other"})
    product = prepare(other)
    here = {name.split("/", 2)[2]: data for name, data in files(home).items() if product.digest in name}
    there = {p.relative_to(tmp_path / "other" / product.digest): p for p in (tmp_path / "other" / product.digest).rglob("*.*")}
    assert {str(name): path.read_bytes() for name, path in there.items()} == here


class _StopAfter(Steps):
    def __init__(self, shards: int) -> None:
        self.left = shards

    def between_shards(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Leave(ExitCode.STOPPED, "Terminated")


@pytest.fixture
def many_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "SHARD_TEXT_BYTES", 4000)


@pytest.mark.usefixtures("many_shards")
def test_a_stopped_stage_goes_on_with_the_shard_after_the_last(home: Path, monkeypatch: pytest.MonkeyPatch):
    whole = prepare(stage_config(home, data={"preparedUri": f"file://{home}/whole"}))
    assert len(whole.train) > 4
    with pytest.raises(Leave):
        prepare(stage_config(home), _StopAfter(3))
    with pytest.raises(BadInput, match=r"data.preparedUri.*run the Prepare stage first"):
        find_product(stage_config(home).data)
    made: list[str] = []
    make = stage._make_shard
    monkeypatch.setattr(stage, "_make_shard", lambda folder, name, *rest: made.append(name) or make(folder, name, *rest))
    assert prepare(stage_config(home)) == whole
    assert made[0] == "train-00003"


@pytest.mark.usefixtures("many_shards")
@pytest.mark.parametrize("damage", [b"", b"\x00" * 10])
def test_a_half_written_shard_is_made_again(home: Path, damage: bytes):
    with pytest.raises(Leave):
        prepare(stage_config(home), _StopAfter(3))
    (shard,) = (home / "prepared").glob("*/train-00001.bin")
    right = shard.read_bytes()
    shard.write_bytes(damage)
    prepare(stage_config(home))
    assert shard.read_bytes() == right


def test_a_validation_source_of_its_own_leaves_all_documents_for_training(home: Path):
    write_corpus(home / "held", documents=5)
    product = prepare(stage_config(home, data={"validation": {"uri": f"file://{home}/held"}}))
    assert sum(shard.documents for shard in product.train) == 40
    assert sum(shard.documents for shard in product.validation) == 5


def test_bits_per_byte_need_the_bytes_of_the_validation_text(home: Path):
    product = prepare(stage_config(home))
    text_bytes = sum(shard.bytes for shard in product.validation)
    assert product.validation_bytes_per_token == text_bytes / product.validation_tokens


def test_the_sequence_length_and_the_seed_share_a_product(home: Path):
    first = prepare(stage_config(home))
    again = stage_config(home, data={"sequenceLength": 16, "seed": 5})
    assert find_product(again.data)[1] == first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"sequenceLength": 4000}}, r"data.validationFraction: 0.1 .*validation tokens"),
        ({"model": {"config": {"vocab_size": 299}}}, r"model.config.vocab_size: 299 .*300 tokens"),
        ({"data": {"tokenizer": {"vocabularySize": 300, "uri": "file:///x"}}}, r"exactly one of vocabularySize and uri"),
        ({"data": {"tokenizer": {"vocabularySize": None, "uri": "file:///nowhere"}}}, r"data.tokenizer.uri: 'file:///nowhere'"),
        ({"data": {"train": {"format": "Tokens"}}}, r"data.train.format: 'Tokens' .*data.tokenizer.uri"),
    ],
)
def test_what_cannot_be_used_is_named(home: Path, changes: dict[str, object], message: str):
    with pytest.raises(BadInput, match=message):
        prepare(stage_config(home, **changes))


def test_token_files_become_shards(home: Path):
    codec = train_tokenizer(["some text to learn from"], 300)
    codec.save(Folder(f"file://{home}/tok"))
    for name in ("train", "held"):
        (home / name).mkdir()
        np.save(home / name / "a.npy", np.arange(200) % codec.vocabulary)
    tokens = {
        "train": {"uri": f"file://{home}/train/*.npy", "format": "Tokens"},
        "validation": {"uri": f"file://{home}/held/*.npy", "format": "Tokens"},
        "tokenizer": {"vocabularySize": None, "uri": f"file://{home}/tok"},
    }
    product = prepare(stage_config(home, data=tokens))
    assert (product.train_tokens, product.validation_bytes_per_token) == (200, None)
    np.save(home / "train" / "a.npy", np.array([codec.vocabulary]))
    with pytest.raises(BadInput, match=r"outside the tokenizer"):
        prepare(stage_config(home, data=tokens))


def test_the_tokenizer_is_the_same_every_time_it_is_trained():
    texts = [f"the number {n} and the number {n * 7}" for n in range(200)]
    assert len({train_tokenizer(texts, 320).tokenizer.to_str() for _ in range(3)}) == 1


def test_the_end_of_text_may_be_written_as_a_mapping(tmp_path: Path):
    folder = Folder(f"file://{tmp_path}")
    train_tokenizer(["abc"], 300).save(folder)
    folder.write("tokenizer_config.json", json.dumps({"eos_token": {"content": END_OF_TEXT}}).encode())
    assert load_tokenizer(folder).end_of_text == 0
