"""Promise 3 under change: other workers, other cuts of the batch, adapters with dropout. What was read is on record."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from signal import SIGTERM
from typing import Any

import numpy as np
import pytest
from tests.support.interrupts import Interrupt, Put, Witness, digest_of_tokens, leaves
from tests.support.sameness import assert_same, assert_same_output
from tests.support.trainer import GLOBAL_BATCH, TOKENS_PER_STEP, Home, next_attempt

from farthing_trainer.data import open_split, sequence_of
from farthing_trainer.prepared import find_product

STEPS = 15
EVERY_STEP = range(1, STEPS + 1)  # the warm-up is 1 to 3, the landing 13 to 15
LANDED, STOPPED = 0, 143

TWO = {"processesPerPod": 2, "batch": {"microBatch": 1, "accumulation": 2}}
ALONE = {"processesPerPod": 1, "batch": {"microBatch": 4, "accumulation": 1}}
ALONE_IN_PARTS = {"processesPerPod": 1, "batch": {"microBatch": 1, "accumulation": 4}}
TWO_AT_ONCE = {"processesPerPod": 2, "batch": {"microBatch": 2, "accumulation": 1}}

TOLERANCE = 3e-5
"""Relative, of a step's loss, where only the order of additions differs. About 1,060 float32 additions lie between a token and
the loss of the tiny model (two layers of 300, the head's 32, a softmax over 300, a mean over 128), each off by at most
u = 6e-8 and independently: √1060 · u = 2e-6 a step, and 15 steps add up at worst. Measured: 1.2e-7; other samples: 9e-4 on.
"""
MASKS_TOLERANCE = 1e-2
"""Relative, where dropout draws other masks too, since they derive from step, micro-batch and rank. At p = 0.1 a mask moves an
element of an adapter's output by √(p/(1−p)), a third of itself. Measured at thrice this learning rate: dropout against none
1.8e-3, other masks against each other 4.5e-3; other samples move single steps by 3e-2.
"""


def adapted(dropout: float) -> dict[str, Any]:
    """A low-rank adapter as a change of the model."""
    return {"adapter": "LoRA", "lora": {"rank": 4, "dropout": dropout}}


class Story:
    """The attempts of one job, and what they saw."""

    def __init__(self, home: Home, name: str, **changes: Any) -> None:
        self.path = home.path / name
        self.path.mkdir()
        here = Home(self.path, home.data)
        self.config = here.config(tokens=STEPS * TOKENS_PER_STEP, checkpoint={"keep": STEPS + 1}, **changes)
        self.witness = Witness(self.path)

    def until(self, gang: dict[str, Any], step: int, *places: int) -> "Story":
        """An attempt that is asked to stop in a step; `places` are the micro-batch and the rank."""
        return self._attempt(gang, Interrupt(SIGTERM, step, *places), code=STOPPED)

    def to_the_end(self, gang: dict[str, Any]) -> "Story":
        """An attempt that lands."""
        return self._attempt(gang, code=LANDED)

    def _attempt(self, gang: dict[str, Any], *inside: Put, code: int) -> "Story":
        self.config = next_attempt(self.config, **gang)
        leaves(self.path, self.config, self.witness, *inside, codes=[code])
        return self

    def read(self) -> dict[int, list[tuple[int, str]]]:
        """By step: every sequence that any rank read, with its tokens' digest, sorted."""
        steps: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for seen in self.witness.seen():
            steps[seen.step] += zip(seen.sequences, seen.tokens, strict=True)
        return {step: sorted(read) for step, read in sorted(steps.items())}

    def losses(self) -> np.ndarray:
        """Of every step, in nats per token."""
        by_step = self.witness.losses()
        return np.array([by_step[step] for step in EVERY_STEP])


def rescaled(home: Home, **changes: Any) -> Story:
    """2 → 1 → 2 workers, with every cut of the global batch that the four attempts can have."""
    story = Story(home, "rescaled", **changes)
    story.until(TWO, 4).until(ALONE, 7).until(ALONE_IN_PARTS, 12)
    return story.to_the_end(TWO_AT_ONCE)


@pytest.fixture(scope="module")
def base(data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A trained model, to go on from."""
    story = Story(Home(tmp_path_factory.mktemp("base"), data), "base").to_the_end(TWO)
    return f"file://{story.path}/output"


def from_base(base: str, **model: Any) -> dict[str, Any]:
    return {"model": {"config": None, "pretrainedUri": base, **model}, "optimizer": {"learningRate": 0.003}}


@pytest.mark.parametrize("model", [None, {}, adapted(dropout=0.0)], ids=["new", "fine-tuned", "LoRA"])
def test_rescaled_runs_read_the_same_and_lose_the_same(home: Home, base: str, model: dict[str, Any] | None):
    changes = {} if model is None else from_base(base, **model)
    straight, changed = Story(home, "straight", **changes).to_the_end(TWO), rescaled(home, **changes)
    assert changed.read() == straight.read() == as_the_function_says(changed)
    np.testing.assert_allclose(changed.losses(), straight.losses(), rtol=TOLERANCE)


def test_a_rescaled_run_with_dropout_reads_the_same_and_loses_about_the_same(home: Home, base: str):
    changes = from_base(base, **adapted(dropout=0.1))
    straight, changed = Story(home, "straight", **changes).to_the_end(TWO), rescaled(home, **changes)
    assert changed.read() == straight.read()
    np.testing.assert_allclose(changed.losses(), straight.losses(), rtol=MASKS_TOLERANCE)
    assert changed.losses().tolist() != straight.losses().tolist()  # dropout is on


def as_the_function_says(story: Story) -> dict[int, list[tuple[int, str]]]:
    """What `sequence_of` gives every step, with the tokens that stand there in the corpus."""
    data = story.config.data
    folder, product = find_product(data)
    corpus = open_split(folder, product, product.train, data.sequence_length, story.path)
    samples = np.arange(STEPS * GLOBAL_BATCH).reshape(STEPS, GLOBAL_BATCH)
    numbers = {step: sequence_of(samples[step - 1], len(corpus), data.seed) for step in EVERY_STEP}
    return {
        step: sorted(zip(taken.tolist(), map(digest_of_tokens, corpus.batch(taken)[0]), strict=True))
        for step, taken in numbers.items()
    }


@pytest.mark.parametrize("model", [{}, adapted(dropout=0.1)], ids=["fine-tuned", "LoRA with dropout"])
def test_fine_tuning_stopped_again_and_again_is_the_same(home: Home, base: str, model: dict[str, Any]):
    """In the warm-up, at the trunk, in the landing; in either micro-batch, by either rank."""
    straight = Story(home, "straight", **from_base(base, **model)).to_the_end(TWO)
    stopped = Story(home, "stopped", **from_base(base, **model))
    for step, micro, rank in _places():
        stopped.until(TWO, step, micro, rank)
    stopped.to_the_end(TWO)
    assert stopped.read() == straight.read()
    assert stopped.losses().tolist() == straight.losses().tolist()
    assert_same(stopped.path, straight.path, [STEPS])
    assert_same_output(stopped.path, straight.path)


def _places() -> Sequence[tuple[int, int, int]]:
    return [(2, 1, 0), (12, 0, 1), (14, 1, 1)]
