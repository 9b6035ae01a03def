"""What cannot be used, and why: fixed parts that nothing legal has, and families without a usable member."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from farthing.domain.plan import Rejection
from farthing.errors import InvalidSpec
from farthing.estimates.configuration import Floats
from farthing.planner.space.candidates import Field
from farthing.planner.space.grid import Ints, layouts, styles, suits
from farthing.planner.space.knobs import SHARDINGS, Knobs, low_bit
from farthing.planner.space.purchase import FAILURES, Purchase, one_step
from farthing.planner.space.question import SpaceQuestion
from farthing.planner.space.sites import DTYPES, Site
from farthing.units import GIB

STYLE_KNOBS = ("precision", "checkpointing", "optimizer", "adapter", "attention", "loss", "compile", "offload")


class Family(NamedTuple):
    """What rejections are told by: a pool's members alike in these. fp8 keeps the bytes of bfloat16 and is told with it."""

    pool: str
    precision: str
    sharding: str
    checkpointing: str
    adapter: str

    def __str__(self) -> str:
        adapter = "" if self.adapter == "None" else f" {self.adapter}"
        return f"{self.pool} {self.precision} {self.sharding} ac={self.checkpointing}{adapter}"


def check_possible(question: SpaceQuestion, sites: Sequence[Site], knobs: Knobs) -> None:
    """Raises InvalidSpec that names the fixed knob which no pool can have, or the knobs that no layout has together."""
    _check_styles(question, sites, knobs)
    of_layouts = {name: values for name, values in knobs.items() if name not in STYLE_KNOBS}
    if not of_layouts or _any(question, sites, knobs):
        return
    for name, values in of_layouts.items():
        if not _any(question, sites, {name: values}):
            raise InvalidSpec(name, _told(values), _remedy(name, question, sites))
    named = ", ".join(knobs)
    raise InvalidSpec(named, ", ".join(_told(values) for values in knobs.values()), "nothing legal has all of them: free one")


def _check_styles(question: SpaceQuestion, sites: Sequence[Site], knobs: Knobs) -> None:
    adapters = knobs.get("adapter", ("None",))
    if not question.pretrained and "None" not in adapters:
        raise InvalidSpec("adapter", _told(adapters), "adapters need trained weights below them: fine-tune a pretrained model")
    precisions = knobs.get("precision")
    if precisions and not any(site.has(each) for site in sites for each in precisions):
        chips = ", ".join(sorted({site.device.name for site in sites}))
        raise InvalidSpec("precision", _told(precisions), f"{chips} cannot: use another precision or another pool")
    if any(site.has(style.precision) for style in styles(question, knobs) for site in sites):
        return
    if knobs.get("offload") == (True,) and all(low_bit(name) for name in knobs.get("optimizer", ("AdamW",))):
        remedy = "states of 8 bits and fewer are updated on the accelerator alone: offload AdamW, or leave them there"
        raise InvalidSpec("optimizer", _told(knobs["optimizer"]), remedy)
    raise InvalidSpec("adapter", _told(adapters), "bases in 4 bits compute in 16 bits: use bfloat16, or LoRA")


def _any(question: SpaceQuestion, sites: Sequence[Site], knobs: Knobs) -> bool:
    """Whether a pool has a member."""
    every = styles(question, knobs)
    for site in sites:
        found = layouts(question, site.offer.accelerators_per_node, site.offer.accelerators, knobs)
        if any(site.has(style.precision) and suits(found, style).any() for style in every):
            return True
    return False


def _told(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))


def _remedy(name: str, question: SpaceQuestion, sites: Sequence[Site]) -> str:
    model = question.architecture
    most, node = (max(getattr(site.offer, each) for site in sites) for each in ("accelerators", "accelerators_per_node"))
    experts = f"the {model.mixture.routed} routed experts" if model.mixture else "routed experts, which this model has none of,"
    rules = {
        "tp": f"it must divide {model.heads} heads, {model.kv_heads} key-value heads and a gang's part of a node of {node}",
        "pp": f"it must divide the {model.layers} layers and a gang of at most {most}",
        "vpp": f"it must divide the layers of a stage ({model.layers} ÷ pp, pp above 1), and pp the micro-batches of a step",
        "cp": f"it must divide the sequence of {question.sequence_length} tokens and a gang of at most {most}",
        "ep": f"it must divide {experts} and the data-parallel ranks of a gang of at most {most}",
        "devices": f"a gang is part of a node or whole nodes, at most {most}, and its ranks share the global batch",
        "micro_batch": f"it must divide the global batch of {question.global_batch}",
    }
    return rules.get(name, "no gang of these pools has it: free it, or take a larger pool")


def rejections(question: SpaceQuestion, fields: Sequence[Field], bought: Purchase, knobs: Knobs) -> tuple[Rejection, ...]:
    """Of each pool and family: first pools without a member, then memory, then the budget; in each the closest first."""
    without = [_without(field, knobs) for field in fields if not field.members.any()]
    memory = [each for field in fields for each in _too_large(field)]
    places = np.cumsum([0, *(len(field.rows) for field in fields)])
    pairs = zip(fields, places.tolist(), strict=False)
    poor = [each for field, place in pairs for each in _too_poor(question, field, bought, place)]
    return (*without, *_closest_first(memory), *_closest_first(poor))


def _closest_first(found: Sequence[Rejection]) -> list[Rejection]:
    return sorted(found, key=lambda each: each.needs / each.has if each.has > 0 else float("inf"))


def _without(field: Field, knobs: Knobs) -> Rejection:
    """Why a pool has no member at all, where others have."""
    offer = field.site.offer
    devices = knobs.get("devices")
    if devices and min(devices) > offer.accelerators:
        return Rejection(offer.name, "accelerators", min(devices), offer.accelerators, "accelerators")
    precisions = knobs.get("precision")
    if precisions and not any(field.site.has(each) for each in precisions):
        dtype = DTYPES[precisions[0]]
        return Rejection(f"{offer.name}, {_told(precisions)} on {field.site.device.name}", "precision", 1, 0, f"{dtype} peak")
    fixed = ", ".join(f"{name}={_told(values)}" for name, values in knobs.items()) or "the global batch"
    return Rejection(f"{offer.name}, {fixed}", "strategy", 1, 0, "legal layouts")


def _too_large(field: Field) -> Iterator[Rejection]:
    """Families without a member that fits: what the one that came closest needs. One with a member passed over is not told."""
    closest: dict[Family, tuple[float, int, int]] = {}
    for level in range(len(SHARDINGS)):
        rows = np.flatnonzero(field.grid.layouts.sharding == level)
        if not len(rows):
            continue
        safe = np.where(field.members[:, rows], field.safe[:, rows], np.inf)
        for style, at in enumerate(np.argmin(safe, axis=1).tolist()):
            need, family = float(safe[style, at]), _family(field, style, level)
            if np.isfinite(need) and need < closest.get(family, (np.inf, 0, 0))[0]:
                closest[family] = (need, style, int(rows[at]))
    capacity, spared = field.site.capacity, _families(field, np.nonzero(field.passed_over))
    for family, (need, style, row) in closest.items():
        if need > capacity and family not in spared:
            yield Rejection(f"{family}, at best {_member(field, style, row)}", "memory", need / GIB, capacity / GIB, "GiB")


def _family(field: Field, style: int, level: int) -> Family:
    how = field.grid.styles[style]
    precision = "bfloat16" if how.precision == "fp8" else how.precision
    return Family(field.site.offer.name, precision, SHARDINGS[level], how.checkpointing, how.adapter)


def _member(field: Field, style: int, row: int) -> str:
    sizes, how = field.grid.layouts, field.grid.styles[style]
    degrees = ((name, int(getattr(sizes, name)[row])) for name in ("tp", "pp", "vpp", "cp", "ep"))
    split = "".join(f" {name}{size}" for name, size in degrees if size > 1)
    offload = " offload" if how.offload else ""
    return f"x{int(sizes.devices[row])}{split} mb={int(sizes.micro_batch[row])} {how.optimizer}{offload}"


def _too_poor(question: SpaceQuestion, field: Field, bought: Purchase, place: int) -> Iterator[Rejection]:
    """Families that fit and whose members reach not one step: what one step of the closest takes.

    A member that was passed over for a preferred style reaches no step where that one reaches none; where it does, the family
    is not known to be without a usable member.
    """
    reaches = bought.steps[place : place + len(field.rows)] > 0
    dead = np.flatnonzero(~reaches)
    if not len(dead):
        return
    alive = _families(field, (field.styles[reaches], field.rows[reaches]))
    if reaches.any():
        alive |= _families(field, np.nonzero(field.passed_over))
    short = _Shortages.of(question, field, bought, place, dead)
    told: set[Family] = set()
    for at in np.argsort(short.ratio, kind="stable").tolist():
        style, row = int(field.styles[dead[at]]), int(field.rows[dead[at]])
        family = _family(field, style, int(field.grid.layouts.sharding[row]))
        if family not in alive and family not in told:
            told.add(family)
            yield short.rejection(at, f"{family}, at best {_member(field, style, row)}")


def _families(field: Field, members: tuple[npt.NDArray[np.intp], ...]) -> set[Family]:
    """Of members by position of style and of layout."""
    styles, rows = members
    pairs = np.unique(styles * len(SHARDINGS) + field.grid.layouts.sharding[rows]).tolist()
    return {_family(field, *divmod(pair, len(SHARDINGS))) for pair in pairs}


@dataclass(frozen=True, slots=True)
class _Shortages:
    """Of timed members that reach no step: what one step takes of the limit that ends them, and what there is."""

    hopeless: npt.NDArray[np.bool_]
    binding: Ints
    words: tuple[tuple[str, str], ...]
    """Constraint and unit of each limit."""
    needs: Floats
    has: Floats

    @classmethod
    def of(cls, question: SpaceQuestion, field: Field, bought: Purchase, place: int, dead: Ints) -> "_Shortages":
        run, timing = field.course.take(dead), field.timing
        found = one_step(question, run, timing.step_seconds[dead], timing.step_flops[dead])
        limits = [found[axis] for axis in bought.axes]
        binding, lost = bought.binding[place + dead], run.hopeless
        needs = np.stack([limit.needs for limit in limits])[binding, np.arange(len(dead))]
        has = np.array([limit.has for limit in limits])[binding]
        words = tuple((f"budget:{axis}", limit.unit) for axis, limit in zip(bought.axes, limits, strict=True))
        restart = run.startup + run.checkpoint
        return cls(lost, binding, words, np.where(lost, restart, needs), np.where(lost, run.mean, has))

    @property
    def ratio(self) -> Floats:
        return np.where(self.has > 0, self.needs / np.where(self.has > 0, self.has, 1.0), np.inf)

    def rejection(self, at: int, family: str) -> Rejection:
        lost = (FAILURES, "s between failures")
        constraint, unit = lost if self.hopeless[at] else self.words[int(self.binding[at])]
        return Rejection(family, constraint, float(self.needs[at]), float(self.has[at]), unit)
