"""`explore`: every legal way of training, what fits, what the budget buys with it, and which is best."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from farthing.errors import InvalidSpec
from farthing.planner.space import ranking
from farthing.planner.space.answer import Choice, Space
from farthing.planner.space.candidates import Field, fields_of, joined
from farthing.planner.space.choices import make_choices
from farthing.planner.space.grid import Ints
from farthing.planner.space.knobs import fixed_knobs, low_bit
from farthing.planner.space.purchase import Purchase, purchase
from farthing.planner.space.question import SpaceQuestion
from farthing.planner.space.refusals import check_possible, rejections
from farthing.planner.space.sites import sites

ADAPTERS_NOTE = (
    "outcomes are tokens: no scaling law holds for fine-tuning, and a token trained through an adapter is not worth one that "
    "trains all weights; fix adapter to compare like with like"
)

COARSE_NOTE = (
    "the scaling law knows neither fp8 nor optimizer states of few bits: they are taken to reach the loss of bfloat16 and "
    "AdamW; fix precision and optimizer to leave them out"
)

OFFLOAD_NOTE = "nothing fits with all states on the accelerators: plans that keep them on the host were looked at too"

MIXTURE_NOTE = (
    "the scaling law was fitted on dense models and is asked with all parameters of this mixture of experts: the loss is too "
    "low a guess; compare it with other plans of this model alone"
)


@dataclass(frozen=True, slots=True)
class Ranked:
    """The timed members of all pools that can be chosen, best first: of each family the best, and the front of all."""

    field: Ints
    """Position of the pool."""
    member: Ints
    """Position among the pool's timed members."""
    place: Ints
    """Position in the purchase."""
    leads: npt.NDArray[np.bool_]
    """Whether it is the best of its family: of members that differ in the micro-batch alone."""
    front: Ints
    """Positions here of those that nothing beats."""


def explore(question: SpaceQuestion, top: int = 50) -> Space:
    """The best `top` choices, of each family on each gang the best, and beside them the best of each pool and all of the front.

    Deterministic; nothing is sampled or given up early. Raises InvalidSpec (a fixed knob unknown or impossible, nothing
    limited), UnknownAccelerator (no pool can be searched) and MissingPrice (money limited, a pool without a price).
    """
    _check(question, top)
    knobs = fixed_knobs(question)
    found, notes = sites(question)
    check_possible(question, found, knobs)
    fields = fields_of(question, found, knobs)
    if "offload" not in knobs and not any(len(field.rows) for field in fields):
        knobs = {**knobs, "offload": (False, True)}
        fields = fields_of(question, found, knobs)
        notes = (*notes, OFFLOAD_NOTE)
    bought = purchase(
        question,
        joined([field.course for field in fields]),
        np.concatenate([field.timing.step_seconds for field in fields]),
        np.concatenate([field.timing.step_flops for field in fields]),
    )
    ranked = _ranked(question, fields, bought)
    chosen = _chosen(ranked, top)
    choices = _choices(question, fields, bought, ranked, chosen)
    return Space(
        choices=choices,
        front=tuple(np.searchsorted(chosen, ranked.front).tolist()),
        rejections=rejections(question, fields, bought, knobs),
        looked_at=sum(int(field.members.sum()) for field in fields),
        notes=(*notes, *_law_notes(question, choices)),
    )


def _law_notes(question: SpaceQuestion, choices: tuple[Choice, ...]) -> tuple[str, ...]:
    """What the outcome does not tell."""
    if question.pretrained:
        return (ADAPTERS_NOTE,)
    coarse = any(choice.layout.precision == "fp8" or low_bit(choice.layout.optimizer) for choice in choices)
    known = ((MIXTURE_NOTE, question.architecture.mixture is not None), (COARSE_NOTE, coarse))
    return tuple(note for note, holds in known if holds)


def _ranked(question: SpaceQuestion, fields: tuple[Field, ...], bought: Purchase) -> Ranked:
    """Members that reach no step are left out."""
    counts = [len(field.rows) for field in fields]
    field = np.repeat(np.arange(len(fields)), counts)
    member = np.concatenate([np.arange(count) for count in counts])
    tokens = bought.steps * float(question.global_batch * question.sequence_length)
    runs = np.flatnonzero(_begins(np.concatenate([_families(each) for each in fields]), field))
    best = ranking.best_of_runs(runs, tokens, bought.seconds, bought.cost)
    wanted = np.zeros(len(tokens), dtype=bool)
    wanted[best] = wanted[ranking.unbeaten(tokens, bought.seconds, bought.cost)] = True
    kept = np.flatnonzero(wanted & (tokens > 0))
    kept = kept[ranking.order(tokens[kept], bought.seconds[kept], bought.cost[kept])]
    front = ranking.front(tokens[kept], bought.seconds[kept], bought.cost[kept])
    return Ranked(field[kept], member[kept], kept, np.isin(kept, best), front)


def _begins(family: Ints, field: Ints) -> npt.NDArray[np.bool_]:
    """Where another family than before stands; those of one pool stand side by side."""
    changes = (family[1:] != family[:-1]) | (field[1:] != field[:-1])
    return np.concatenate(([True], changes))[: len(family)]


def _families(field: Field) -> Ints:
    """Layouts that differ in the micro-batch alone stand side by side in the grid."""
    layouts = field.grid.layouts
    told = np.stack(
        (
            layouts.devices, layouts.tp, layouts.pp, layouts.vpp, layouts.cp, layouts.ep, layouts.sequence_parallel,
            layouts.sharding,
        )
    )  # fmt: skip
    number = np.cumsum(np.r_[0, np.any(told[:, 1:] != told[:, :-1], axis=0)]) if len(layouts) else np.zeros(0, dtype=np.int64)
    return np.asarray(number[field.rows] * len(field.grid.styles) + field.styles, dtype=np.int64)


def _chosen(ranked: Ranked, top: int) -> Ints:
    """Positions in the ranking of the best `top` families, the best of each pool and the front."""
    _, pools = np.unique(ranked.field, return_index=True)
    return np.unique(np.concatenate((np.flatnonzero(ranked.leads)[:top], pools, ranked.front)))


def _choices(
    question: SpaceQuestion, fields: tuple[Field, ...], bought: Purchase, ranked: Ranked, chosen: Ints
) -> tuple[Choice, ...]:
    made: dict[int, Choice] = {}
    for number, field in enumerate(fields):
        here = chosen[ranked.field[chosen] == number]
        choices = make_choices(question, field, ranked.member[here], bought, ranked.place[here])
        made |= dict(zip(here.tolist(), choices, strict=True))
    return tuple(made[position] for position in chosen.tolist())


def _check(question: SpaceQuestion, top: int) -> None:
    for name, value in (("top", top), ("sequence_length", question.sequence_length), ("global_batch", question.global_batch)):
        if value < 1:
            raise InvalidSpec(name, value, "give a whole number of at least 1")
