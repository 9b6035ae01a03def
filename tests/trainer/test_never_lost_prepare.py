"""The prepare stage ends on notice wherever it stands, with 143: what it finished is durable, and the next attempt goes on."""

import importlib
import os
import signal
from dataclasses import dataclass

import pytest
from tests.support.trainer import Home, next_attempt, ranks


@dataclass(frozen=True)
class TermIn:
    """SIGTERM comes at the `call`-th call of a function of the stage."""

    module: str
    function: str
    call: int

    def __call__(self) -> None:
        module, calls = importlib.import_module(f"farthing_trainer.{self.module}"), []
        whole = getattr(module, self.function)

        def interrupted(*arguments: object) -> object:
            calls.append(arguments)
            if len(calls) == self.call:
                os.kill(os.getpid(), signal.SIGTERM)
            return whole(*arguments)

        setattr(module, self.function, interrupted)


PLACES = {
    "while the corpus is read": TermIn("corpus", "document_hash", 20),
    "while the tokenizer is made": TermIn("prepare", "open_tokenizer", 1),
    "while a shard is made": TermIn("prepare", "write_shard", 1),
    "while the product is written": TermIn("prepare", "point_to", 1),
}


@pytest.mark.parametrize("place", PLACES)
def test_prepare_ends_on_notice_wherever_it_stands(home: Home, place: str):
    config = home.config(stage="Prepare", data={"preparedUri": f"file://{home.path}/prepared"})
    with ranks(home.path, config, inside=[PLACES[place]]) as run:
        assert run.wait() == [143], run.log
    assert (run.last_word().reason, run.last_word().message) == ("Terminated", "finished shards are kept")
    assert run.last_word().progress.prepared_tokens is None
    shards = list((home.path / "prepared").rglob("*.bin"))
    assert bool(shards) == (place == "while the product is written")  # nothing was begun after the signal
    with ranks(home.path, next_attempt(config)) as again:
        assert again.wait() == [0], again.log
    assert again.last_word().reason == "Prepared"
    assert again.last_word().progress.prepared_tokens > 1000
