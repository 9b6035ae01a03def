"""Which tokens a step trains on: a pure function of (seed, global sample index), whatever the gang's size. No torch.

Sample `g` of the run is sequence `order(seed, g)` of the corpus: epoch after epoch, each a new permutation of all
sequences. The step after `n` steps takes samples [n·B, (n+1)·B) of a global batch B; rank r of W takes, in micro-batch m of
size b, those at offsets (m·W + r)·b … + b.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from farthing_trainer.prepared import Product, Shard
from farthing_trainer.storage import Folder

_ROUNDS = 4


def _mix(value: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64: every input bit changes every output bit. Steele, Lea and Flood, OOPSLA 2014."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = value ^ (value >> np.uint64(31))
    return mixed


def permute(index: np.ndarray, count: int, key: int) -> np.ndarray:
    """Where a keyed permutation of range(count) sends each index. Shapes are equal; no memory grows with `count`.

    A Feistel network over the smallest even number of bits that holds `count`, walked until the value falls inside
    (Black and Rogaway, CT-RSA 2002).
    """
    half = np.uint64(max(1, ((count - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    value = index.astype(np.uint64)
    outside = np.ones(value.shape, bool)
    while outside.any():
        value[outside] = _feistel(value[outside], half, mask, key)
        outside = value >= np.uint64(count)
    return value.astype(np.int64)


def _feistel(value: np.ndarray, half: np.uint64, mask: np.uint64, key: int) -> np.ndarray:
    left, right = value >> half, value & mask
    for number in range(_ROUNDS):
        salt = np.uint64((key * _ROUNDS + number + 1) * 0x9E3779B97F4A7C15 % (1 << 64))
        left, right = right, left ^ (_mix(right + salt) & mask)
    return (left << half) | right


def sequence_of(samples: np.ndarray, sequences: int, seed: int) -> np.ndarray:
    """The sequence that each global sample index trains on. Each epoch visits every sequence once."""
    out = np.empty(samples.shape, np.int64)
    for epoch in np.unique(samples // sequences):
        here = samples // sequences == epoch
        out[here] = permute(samples[here] % sequences, sequences, (seed << 20) + int(epoch))
    return out


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How a global batch is cut: world × micro_batch × accumulation sequences."""

    world: int
    micro_batch: int
    accumulation: int

    @property
    def global_batch(self) -> int:
        """Sequences a step."""
        return self.world * self.micro_batch * self.accumulation

    def samples(self, steps_made: int, rank: int, micro: int) -> np.ndarray:
        """Global sample indices of one micro-batch of one rank, shape (micro_batch,)."""
        first = steps_made * self.global_batch + (micro * self.world + rank) * self.micro_batch
        return np.arange(first, first + self.micro_batch, dtype=np.int64)


class TokenStream:
    """All shards of a split as one stream of token ids, memory-mapped."""

    def __init__(self, shards: Sequence[np.ndarray]) -> None:
        self._shards = shards
        self._ends = np.cumsum([len(shard) for shard in shards])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._shards) else 0

    def slice(self, start: int, length: int) -> np.ndarray:
        """`length` ids from `start` on, as int64, across shards where need be."""
        parts, position = [], start
        while position < start + length:
            shard = int(np.searchsorted(self._ends, position, side="right"))
            offset = position - (int(self._ends[shard]) - len(self._shards[shard]))
            part = self._shards[shard][offset : offset + start + length - position]
            parts.append(part.astype(np.int64))
            position += len(part)
        return np.concatenate(parts)


class Sequences:
    """A split as fixed-length sequences: inputs of `length` tokens with the targets one further on."""

    def __init__(self, stream: TokenStream, length: int) -> None:
        self._stream = stream
        self.length = length

    def __len__(self) -> int:
        return max(0, (len(self._stream) - 1) // self.length)

    def batch(self, sequences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets, each (len(sequences), length), int64."""
        rows = np.stack([self._stream.slice(int(i) * self.length, self.length + 1) for i in sequences])
        return rows[:, :-1], rows[:, 1:]


def open_split(folder: Folder, product: Product, shards: Sequence[Shard], length: int, scratch: Path) -> Sequences:
    """Map the shards of a split; those on an object store are copied below `scratch` first."""
    dtype = np.dtype(f"<u{product.token_bytes}")
    mapped = [np.memmap(folder.fetch(s.name, scratch), dtype=dtype, mode="r", shape=(s.tokens,)) for s in shards if s.tokens]
    return Sequences(TokenStream(mapped), length)
