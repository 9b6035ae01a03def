"""Validation loss over held-out sequences, in nats per token and in bits per byte of text."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from farthing_trainer.data import Sequences
from farthing_trainer.gang import Gang
from farthing_trainer.model import Model


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`loss` in nats per token over `tokens` tokens; `bits_per_byte` None where the text's bytes are unknown."""

    loss: float
    tokens: int
    bits_per_byte: float | None


def evaluate(
    model: Model, held_out: Sequences, count: int, micro_batch: int, bytes_per_token: float | None, gang: Gang
) -> Evaluation:
    """The mean over `count` held-out sequences, shared out over the gang; all ranks make equally many forwards.

    They lie evenly over the whole split: the first ones would be the first few documents, which may be of one kind.
    """
    chosen = spread(count, len(held_out))
    batches = np.array_split(chosen, math.ceil(len(chosen) / micro_batch))
    rounds = math.ceil(len(batches) / gang.world)
    total = tokens = 0.0
    model.eval()
    with torch.no_grad():
        for turn in range(rounds):
            mine = turn * gang.world + gang.rank
            batch = batches[mine % len(batches)]
            loss = float(_loss(model, held_out, batch, gang.device))
            if mine < len(batches):
                total += loss * len(batch) * held_out.length
                tokens += len(batch) * held_out.length
    model.train()
    total, tokens = gang.sum([total, tokens])
    loss = total / tokens
    return Evaluation(loss, int(tokens), loss / math.log(2) / bytes_per_token if bytes_per_token else None)


def spread(count: int, available: int) -> np.ndarray:
    """At most `count` indices, evenly over range(available)."""
    taken = min(count, available)
    return np.arange(taken) * available // taken


def _loss(model: Model, held_out: Sequences, batch: np.ndarray, device: torch.device) -> torch.Tensor:
    inputs, targets = (torch.from_numpy(array).to(device) for array in held_out.batch(batch))
    return model(inputs, targets)  # type: ignore[no-any-return]
