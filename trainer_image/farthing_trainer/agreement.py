"""The one packed all-reduce of a step: what every rank must know alike before it goes on (DESIGN 9)."""

from dataclasses import dataclass

from farthing.contract.checkpoint import Landing
from farthing_trainer.gang import Gang

_LANDING_SLOTS = 4


@dataclass(frozen=True, slots=True)
class Voice:
    """What one rank brings to a step. Sums of loss and of squared gradients are this rank's share."""

    loss_sum: float
    tokens: int
    squared_norm: float
    stop: bool
    checkpoint: bool
    out_of_memory: bool
    landing: Landing | None
    """Rank 0 only: a landing that holds from the next step on."""
    memory: tuple[int, int]
    """Bytes in use and at peak."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all ranks then know. `loss` in nats per token; `stop` and `checkpoint` where any rank asked."""

    loss: float
    squared_norm: float
    stop: bool
    checkpoint: bool
    out_of_memory: bool
    landing: Landing | None
    memory: tuple[int, int]
    """Of the process that uses most."""


def agree(gang: Gang, voice: Voice) -> Verdict:
    """Sum all voices. Memory travels in a slot per rank, so that the sum is also a gather."""
    memory = [0.0] * (2 * gang.world)
    memory[2 * gang.rank : 2 * gang.rank + 2] = voice.memory
    flags = [float(voice.stop), float(voice.checkpoint), float(voice.out_of_memory)]
    values = [voice.loss_sum, float(voice.tokens), voice.squared_norm, *flags, *_pack(voice.landing), *memory]
    loss_sum, tokens, squared_norm, stop, checkpoint, out_of_memory, *rest = gang.sum(values)
    landing, used = rest[:_LANDING_SLOTS], rest[_LANDING_SLOTS:]
    return Verdict(
        loss=loss_sum / tokens if tokens else float("nan"),
        squared_norm=squared_norm,
        stop=stop > 0,
        checkpoint=checkpoint > 0,
        out_of_memory=out_of_memory > 0,
        landing=_unpack(landing),
        memory=(int(max(used[0::2])), int(max(used[1::2]))),
    )


def _pack(landing: Landing | None) -> list[float]:
    if landing is None:
        return [0.0] * _LANDING_SLOTS
    return [float(landing.version), float(landing.first_step), float(landing.last_step), landing.lr_at_first]


def _unpack(slots: list[float]) -> Landing | None:
    version, first, last, rate = slots
    if not version:
        return None
    return Landing(version=int(version), first_step=int(first), last_step=int(last), lr_at_first=rate)
