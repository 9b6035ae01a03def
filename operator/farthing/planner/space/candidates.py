"""The members that are worth timing on each pool: they fit, and no preferred style fits in their place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from farthing.catalog.frameworks import framework
from farthing.estimates.configuration import Floats
from farthing.planner.space.evaluate import Grid, Timing, safe_bytes, timing
from farthing.planner.space.grid import Ints, Style, layouts, preferred, ranks, styles, suits
from farthing.planner.space.knobs import Knobs
from farthing.planner.space.purchase import Course, course
from farthing.planner.space.question import SpaceQuestion
from farthing.planner.space.sites import Site

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Field:
    """One pool with the members of its grid. Masks are of shape (styles, layouts)."""

    site: Site
    grid: Grid
    members: Mask
    """What is legal on this pool."""
    safe: Floats
    """Bytes, of the same shape; infinite for those that are no members, or that are passed over on every pool of the grid."""
    passed_over: Mask
    """Members in whose place a preferred style fits."""
    rows: Ints
    """Of each timed member, the position of its layout."""
    styles: Ints
    """Of each timed member, the position of its style."""
    timing: Timing
    course: Course


def fields_of(question: SpaceQuestion, sites: Sequence[Site], knobs: Knobs) -> tuple[Field, ...]:
    """One a pool. Pools whose nodes are alike, and whose accelerators the framework's rules do not tell apart, share a grid."""
    found: dict[int, Field] = {}
    groups: dict[tuple[int, str], list[int]] = {}
    for number, site in enumerate(sites):
        groups.setdefault((site.offer.accelerators_per_node, _told_apart(question, site)), []).append(number)
    for (per_node, accelerator), alike in groups.items():
        here = [sites[number] for number in alike]
        grid = _grid(question, per_node, here, accelerator, knobs)
        found |= dict(zip(alike, _fields(grid, here), strict=True))
    return tuple(found[number] for number in range(len(sites)))


def _told_apart(question: SpaceQuestion, site: Site) -> str:
    """The accelerator where a rule of the framework asks for it, else nothing."""
    rules = framework(question.framework).rules
    return site.device.name if any("accelerator" in rule.when for rule in rules) else ""


def _grid(question: SpaceQuestion, per_node: int, sites: Sequence[Site], accelerator: str, knobs: Knobs) -> Grid:
    most = max(site.offer.accelerators for site in sites)
    tried = [style for style in styles(question, knobs) if any(_tries(question, site, style) for site in sites)]
    return Grid.of(question, layouts(question, per_node, most, knobs), tried or styles(question, knobs), accelerator)


def _tries(question: SpaceQuestion, site: Site, style: Style) -> bool:
    return site.tries(style.precision, free="precision" not in question.fixed)


def _members(grid: Grid, site: Site) -> Mask:
    room, none = grid.layouts.devices <= site.offer.accelerators, np.zeros(len(grid.layouts), dtype=bool)
    rows = [suits(grid.layouts, style) & room if _tries(grid.question, site, style) else none for style in grid.styles]
    return np.array(rows, dtype=bool).reshape(len(grid.styles), len(room))


def _fields(grid: Grid, sites: Sequence[Site]) -> Iterator[Field]:
    """Memory of all pools at once, rank by rank of styles: those that a preferred one makes needless everywhere are spared."""
    members = np.array([_members(grid, site) for site in sites])
    capacity = np.array([site.capacity for site in sites])[:, None, None]
    safe, passed_over = np.full(members.shape[1:], np.inf), np.zeros_like(members)
    others = preferred(grid.styles)
    for rank in ranks(others):
        for style in rank:
            fits = safe[others[style]] <= capacity
            passed_over[:, style] = members[:, style] & np.any(members[:, others[style]] & fits, axis=1)
        wanted = np.any(members[:, rank] & ~passed_over[:, rank], axis=0)
        safe[rank] = safe_bytes(grid, rank, wanted)
    return (_field(grid, *each, safe) for each in zip(sites, members, passed_over, strict=True))


def _field(grid: Grid, site: Site, members: Mask, passed_over: Mask, safe: Floats) -> Field:
    styles, rows = np.nonzero(members & ~passed_over & (safe <= site.capacity))
    found = timing(grid, rows, styles, site)
    run = _course(grid, site, rows, styles)
    return Field(site, grid, members, safe, passed_over, rows, styles, found, run)


def _course(grid: Grid, site: Site, rows: Ints, styles: Ints) -> Course:
    """Of the timed members: alike for all of one gang and one number of trained parameters."""
    saved, kind = np.unique(grid.kinds.trainable, return_inverse=True)
    alike, places = np.unique(grid.layouts.devices[rows] * len(saved) + kind[styles], return_inverse=True)
    devices, number = np.divmod(alike, len(saved))
    nodes = np.maximum(devices // site.offer.accelerators_per_node, 1)
    return course(grid.question, site, nodes.astype(float), devices.astype(float), saved[number]).take(places)


def joined(courses: Sequence[Course]) -> Course:
    """One after the other."""
    return Course(*(np.concatenate([getattr(each, field.name) for each in courses]) for field in fields(Course)))
